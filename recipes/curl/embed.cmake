# Put the trust anchors into the tool, and the C files that go with the patches. Upstream's CURL_CA_EMBED puts PEM inside,
# through a Perl script.
function(fromscratch_embed)
    set(sources "$ENV{RECIPE}/ca_embed.c" "$ENV{RECIPE}/directories.c" "$ENV{NEED_CACERT_LOOKUP}/anchors.c")
    target_sources(curl PRIVATE ${sources})
    target_compile_definitions(curl PRIVATE CURL_CA_EMBED)
    set_source_files_properties(${sources} TARGET_DIRECTORY curl PROPERTIES
        SKIP_UNITY_BUILD_INCLUSION ON COMPILE_OPTIONS "--embed-dir=$ENV{NEED_CACERT_ANCHORS}")
endfunction()
cmake_language(DEFER CALL fromscratch_embed)
