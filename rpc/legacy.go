package rpc

import "net/http"

// legacyEndpoints are the endpoints of the polling design that read one type each, and that type.
var legacyEndpoints = map[string]string{"messages": "message", "logs": "log", "stats": "stat"}

// legacyDeprecation is when the endpoints became deprecated, as RFC 9745 writes it: 2026-11-26, in Unix seconds.
const legacyDeprecation = "@1795651200"

// legacy serves GET /workflows/{id}/{name}: a list of the items of one type as the polling design had it, with chatData's parameters
// and without what chatData says besides. The answer names its successor.
func (s *feedService) legacy(name, itemType string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Deprecation", legacyDeprecation)
		w.Header().Set("Link", `<chatData?types=`+itemType+`>; rel="successor-version"`) // relative to the request's URL
		parameters := r.URL.Query()
		parameters.Set(chatDataForm.types, itemType)
		s.writeItems(w, r, parameters, listing{
			begin:  `{"` + name + `": [`,
			format: s.encoder.bare,
			end:    func(b []byte, _ reached, _ []string) []byte { return append(b, "]}\n"...) },
		})
	}
}
