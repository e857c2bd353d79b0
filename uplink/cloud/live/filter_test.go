package live

import (
	"net/url"
	"testing"
)

// What can be no name is not looked for: it would be part of keys and subjects.
func TestFilterOfNames(t *testing.T) {
	for query, ok := range map[string]bool{
		"": true, "gateway=g&gateway=h_1&device=boiler-2&quantity=temperature": true,
		"gateway=*": false, "gateway=>": false, "gateway=a.b": false, "gateway=": false, "device=a%20b": false, "quantity=..": false,
	} {
		q, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ParseFilter(q.Encode()); (err == nil) != ok {
			t.Errorf("%s: %v", query, err)
		}
	}
}
