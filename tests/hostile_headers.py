"""What a hostile server may write into the headers that we read, for hypothesis."""

from hypothesis import strategies as st

DIGITS = st.builds("{}".format, st.integers(0, 10**12)) | st.integers(1, 5000).map("9".__mul__)
TEXT = st.text(st.characters(codec="latin-1", exclude_categories=["C"]), max_size=40)

HEADERS = {
    "Retry-After": st.one_of(
        TEXT,
        DIGITS,
        st.builds(
            "Fri, 31 Dec {:04} 23:59:59 {:+05}".format,
            st.integers(0, 99999),
            st.integers(-(10**30), 10**30),
        ),
    ),
    "Location": st.one_of(
        TEXT,
        st.builds(
            "{}//{}{}".format,
            st.sampled_from(["", "http:", "https:", "file:", "http:[", "HTTP:"]),
            st.sampled_from(
                ["[::1", "[::1]", "127.0.0.1:1", "a..b.invalid", "@:99999", "[v1.x]", "\xe9", "%"]
            ),
            TEXT,
        ),
    ),
    "Content-Range": TEXT,
    "Content-Length": st.one_of(
        TEXT,
        DIGITS,
        DIGITS.map("-{}".format),
        st.from_regex(r"[0-9]{1,3}, ?[0-9]{1,3}", fullmatch=True),
    ),
    "Content-Encoding": TEXT,
    "Content-Type": st.one_of(TEXT, st.sampled_from(["text/html; charset", "a; charset=", ";;=;"])),
    "Set-Cookie": TEXT,
    "Transfer-Encoding": st.one_of(
        TEXT, st.sampled_from(["chunked", "gzip, chunked", "chunked, x"])
    ),
    "ETag": TEXT,
    "Last-Modified": TEXT,
    "WWW-Authenticate": TEXT,
    "Link": TEXT,
    "Docker-Content-Digest": TEXT,
    "OCI-Subject": TEXT,
    "Range": TEXT,
}
