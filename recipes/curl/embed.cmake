# Put the CA bundle into the tool. Upstream's CURL_CA_EMBED does the same through a Perl script; C23's #embed needs no Perl.
function(fromscratch_embed)
    file(WRITE "${CMAKE_BINARY_DIR}/tool_ca_embed.c" "
extern const unsigned char curl_ca_embed[];
const unsigned char curl_ca_embed[] = {
#embed \"$ENV{NEED_CACERT}/cacert.pem\"
, 0 };
")
    target_sources(curl PRIVATE "${CMAKE_BINARY_DIR}/tool_ca_embed.c")
    target_compile_definitions(curl PRIVATE CURL_CA_EMBED)
endfunction()
cmake_language(DEFER CALL fromscratch_embed)
