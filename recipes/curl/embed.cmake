# Put the trust anchors into the tool, and the C files that go with the patches: LOOKUP names those of the TLS library.
# Upstream's CURL_CA_EMBED puts PEM inside, through a Perl script.
function(fromscratch_embed)
    set(sources "$ENV{RECIPE}/ca_embed.c" $ENV{LOOKUP})
    target_sources(curl PRIVATE ${sources})
    target_compile_definitions(curl PRIVATE CURL_CA_EMBED)
    set_source_files_properties(${sources} TARGET_DIRECTORY curl PROPERTIES
        SKIP_UNITY_BUILD_INCLUSION ON COMPILE_OPTIONS "--embed-dir=$ENV{NEED_CACERT_ANCHORS}")
endfunction()
cmake_language(DEFER CALL fromscratch_embed)
