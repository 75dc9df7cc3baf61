"""In what Caisson's answers differ from those of Debian's docker-registry 2.8.2, for
tests/cluster/test_differential.py: (pattern, reason). A pattern stands for whole lines
"request: field: Caisson's value | docker-registry's value"; one that no line has is an error too."""

# What docker-registry does otherwise in nearly every answer.
COMMON = [
    (r".*: Content-Type: application/json \| application/json; charset=utf-8",
     "the specification has application/json; some clients compare the whole value"),
    (r".*: Cache-Control: max-age=31536000, immutable \| (None|max-age=31536000)",
     "content by digest never changes, manifests neither; \"immutable\" spares reloads"),
    (r".*: Accept-Ranges: bytes \| None",
     "Caisson says that ranges work also on HEAD and 304 answers"),
    (r"(root GET /v2/_catalog|catalog.*): Content-Length: \d+ \| \d+", "JSON ends with a newline"),
    (r".*: Allow: (GET, HEAD, DELETE|GET, HEAD, PUT, DELETE) \| .*", "another order"),
    (r".*: body: sha256:e3b0c44.* \| None|.*: body: None \| sha256:e3b0c44.*",
     "the body is empty; a difference of the status"),
]

ROOTS = [
    (r"root \w+ /v2: .*", "docker-registry redirects to /v2/, Caisson answers both"),
    (r"root (POST|PUT|DELETE) /v2/: .*", "docker-registry answers 200 to every method"),
    (r"root HEAD /v2/_catalog: .*", "RFC 9110: where there is GET, there is HEAD"),
    (r"root (POST|PUT|DELETE) /v2/_catalog: (Allow: GET, HEAD \| GET|error: .*)",
     "HEAD is allowed too; docker-registry's 405 has no body"),
    (r"root \w+ /v2/a/unknown/x: error: NAME_UNKNOWN \| not an OCI error",
     "errors under /v2/ have the specification's form"),
    (r"root \w+ /v1/: (error|Docker-Distribution-API-Version): .*",
     "outside of /v2/: an error in JSON, and no word about the version of an API that is not here"),
]

NAMES_AND_DIGESTS = [
    (r"name \w+ .*: (status: 400 \| 404|error: NAME_INVALID \| not an OCI error"
     r"|Docker-Distribution-API-Version: registry/2.0 \| None)",
     "a bad name is NAME_INVALID (specification, error code 4), not a path that is not there"),
    (r"name \w+ .*: error: NAME_UNKNOWN \| (MANIFEST_UNKNOWN|BLOB_UNKNOWN)",
     "the repository is not there, which says more"),
    (r"digest \w+ (blobs|manifests)/.*: (status: 400 \| (404|500)"
     r"|error: DIGEST_INVALID \| (UNKNOWN|not an OCI error)"
     r"|Docker-Distribution-API-Version: registry/2.0 \| None)",
     "a malformed digest is the client's mistake: 400 DIGEST_INVALID"),
    (r"digest DELETE manifests/sha2566: (status: 404 \| 400|error: NAME_UNKNOWN \| DIGEST_INVALID)",
     "\"sha256\" is a tag, and tags can be deleted"),
    (r"digest (GET|DELETE) (blobs/sha512:|manifests/sha).*: error: NAME_UNKNOWN \| "
     r"(BLOB|MANIFEST)_UNKNOWN",
     "the repository is not there"),
]

UPLOADS = [
    (r"sha512 put: (Location|Docker-Content-Digest): .*",
     "a blob keeps the digest that it was pushed with; docker-registry renames it to sha256"),
    (r"one post: .*", "docker-registry cannot push in one POST and makes a session"),
    (r"out of order .*: (status: 4(16|00) \| 202|error: \w+ \| None|Range: 0-0 \| 0-\d+"
     r"|Content-(Type|Length): .*)",
     "a chunk that does not go on where the upload stands is 416 (400 when its size is wrong) and "
     "leaves the session as it was; docker-registry appends it"),
    (r"no slash: .*", "docker-registry redirects to the path with a slash"),
    (r"no digest: .*", "docker-registry redirected the POST before, so it has no session"),
    (r"mount(ed)? mount=sha256:10fc3c57d8a911a08: .*",
     "a mount without a source finds a repository that the caller may read"),
]

MANIFESTS = [
    (r"manifest without type: .*", "the body's mediaType says it"),
    (r"manifest foreign layer: .*", "docker-registry 2.8.2 answers 500 to a layer with urls"),
    (r"manifest subject: OCI-Subject: .*", "docker-registry 2.8.2 knows no referrers"),
    (r"manifest null layers: .*", "layers must be an array (image specification)"),
    (r"manifest version 1: (status: 400 \| 500|error: MANIFEST_INVALID \| UNKNOWN)",
     "the client's mistake"),
    (r"manifest tag (a+129|-a2): (status: 400 \| 404|error: NAME_INVALID \| not an OCI error"
     r"|Docker-Distribution-API-Version: .*)", "a bad tag is said to be one"),
]

READS = [
    (r"read \w+ (tag|digest) accept .*: .*",
     "Accept decides nothing: what is stored is served. docker-registry answers 404 where an OCI "
     "manifest is not asked for by its type"),
    (r"read \w+ (blob|tag|digest) if-none-match .*: (status: 304 \| 200|body: .*"
     r"|Content-(Type|Length): .*)",
     "If-None-Match as in RFC 9110: weak tags, lists and *, not only one strong tag"),
    (r"read \w+ (blob|tag|digest) if-none-match .*: (ETag|Docker-Content-Digest): .* \| None",
     "a 304 has the ETag of a 200 (RFC 9110, 15.4.5)"),
    (r"read \w+ \w+ elsewhere: error: NAME_UNKNOWN \| \w+", "the repository is not there"),
    (r"range HEAD .*: .*", "ranges are for GET only (RFC 9110, 14.2)"),
    (r"range GET bytes=-0: .*", "a range without a byte is 416, not a 206 of impossible bounds"),
    (r"range GET bytes=0-1,5-6: .*",
     "the boundary of the parts is another, or they are not sent as parts"),
    (r"range GET (lines=1-2|bytes=a-b): .*",
     "a range that is not understood is none (RFC 9110, 14.2); docker-registry breaks the answer "
     "off"),
    (r"range GET bytes=(9999-|500-0): .*", "416; docker-registry breaks the answer off"),
]

LISTS = [
    (r"tags(\?.*)?: (body|Content-Length|Link|status|error|Content-Type): .*",
     "docker-registry 2.8.2 neither sorts tags nor knows n and last"),
    (r"catalog(\?.*)?: body: .*",
     "a repository is there with its first blob; docker-registry wants a manifest"),
    (r"catalog\?n=(-1|x): .*", "a bad n is 400"),
    (r"catalog\?n=0: .*", "n=0 asks for none"),
    (r"catalog\?n=99999999: .*", "an n over the limit is the limit"),
    (r"referrers sha256:.*: .*", "docker-registry 2.8.2 knows no referrers"),
    (r"referrers junk: .*", "a malformed digest is 400"),
    (r"(tags at the end): .*", "the tag was deleted here, see \"delete tag\""),
]

METHODS_AND_DELETES = [
    (r"method \w+ .*: error: UNSUPPORTED \| .*", "a 405 in the specification's form"),
    (r"method \w+ blobs/uploads/: (status: 405 \| 404|Allow: POST \| None)",
     "the path is there, for POST"),
    (r"method GET (tags/list|manifests/t): (?!Allow).*", "as in the reads and lists above"),
    (r"method \w+ tags/list: Allow: GET, HEAD \| GET", "where there is GET, there is HEAD"),
    (r"delete absent tag: .*", "tags can be deleted: one that is not there is 404"),
    (r"delete tag: .*", "docker-registry 2.8.2 cannot delete tags"),
    (r"deleted tag: .*", "see \"delete tag\"; the Accept header is missing for docker-registry"),
    (r"deleted? used blob: .*", "a blob that a manifest needs stays"),
]

DIFFERENCES = (COMMON + ROOTS + NAMES_AND_DIGESTS + UPLOADS + MANIFESTS + READS + LISTS +
               METHODS_AND_DELETES)
