package keyring

import (
	"os"
	"reflect"
	"strings"
	"testing"
)

// What is asked and answered at enrolment is described.
func TestProtocolDescribesEnrolment(t *testing.T) {
	text, err := os.ReadFile("../../wire/PROTOCOL.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, typ := range []reflect.Type{reflect.TypeFor[Enrollment](), reflect.TypeFor[Grant]()} {
		for i := range typ.NumField() {
			name, _, _ := strings.Cut(typ.Field(i).Tag.Get("json"), ",")
			if !strings.Contains(string(text), "`"+name+"`") {
				t.Errorf("PROTOCOL.md does not name %q of %v", name, typ)
			}
		}
	}
	for _, want := range []string{"/v1/enroll", "/v1/credentials/rotate", oncePrefix, "urn:" + certificateURN} {
		if !strings.Contains(string(text), want) {
			t.Errorf("PROTOCOL.md does not name %s", want)
		}
	}
}
