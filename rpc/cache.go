package rpc

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strings"

	"github.com/klauspost/compress/gzhttp"
)

// mayKeep says that only the client itself may keep an answer, and has to ask each time whether it has changed.
func mayKeep(header http.Header) {
	header.Set("Cache-Control", "private, no-cache")
	header.Add("Vary", "Authorization")
}

// unchanged gives an answer its entity tag, and reports whether the client has the same already. The tag is weak, as the answer
// may be sent in several encodings.
func unchanged(w http.ResponseWriter, r *http.Request, body []byte) bool {
	sum := sha256.Sum256(body)
	tag := `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`
	w.Header().Set("ETag", "W/"+tag)
	for had := range strings.SplitSeq(strings.Join(r.Header.Values("If-None-Match"), ","), ",") {
		if strings.TrimPrefix(strings.TrimSpace(had), "W/") == tag {
			return true
		}
	}
	return false
}

// compressFrom is how many bytes an answer has that is worth compressing.
const compressFrom = 1 << 10

// compressed compresses whole answers with zstd or gzip for clients that accept one.
func compressed(next http.Handler) http.Handler {
	wrap, err := gzhttp.NewWrapper(gzhttp.MinSize(compressFrom))
	if err != nil {
		panic(err) // the options are constants
	}
	return wrap(next)
}
