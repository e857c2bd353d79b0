package cloud

import "testing"

func TestCredentialsAreCopied(t *testing.T) {
	from, to := Credentials{Dir: t.TempDir() + "/gateways"}, Credentials{Shelf: &memShelf{}}
	if n, err := from.CopyTo(t.Context(), to); err != nil || n != 0 {
		t.Errorf("of nothing: %d, %v", n, err)
	}
	var token string
	for _, id := range []string{"a", "b_c"} {
		var err error
		if token, err = from.Add(id); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := from.CopyTo(t.Context(), to); err != nil || n != 2 {
		t.Errorf("copied %d, %v", n, err)
	}
	id, hash, err := split(token)
	if err != nil {
		t.Fatal(err)
	}
	if err := to.check(id, hash); err != nil || id != "b_c" {
		t.Errorf("the token of %s does not open the copy: %v", id, err)
	}
}
