package e2e

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

const inNamespace = "FIELDGATE_TEST_NAMESPACE"

// OwnNetwork runs the test again, alone, in a network of its own: true there.
func OwnNetwork(t *testing.T) bool {
	t.Helper()
	if os.Getenv(inNamespace) != "" {
		return true
	}
	if os.Getuid() != 0 {
		Skip(t, "a network of its own needs root")
	}
	for _, tool := range []string{"unshare", "ip"} {
		if _, err := exec.LookPath(tool); err != nil {
			Skip(t, tool+" is missing: apt-get install util-linux iproute2")
		}
	}
	cmd := exec.Command("unshare", "-n", os.Args[0], "-test.v", "-test.run", "^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), inNamespace+"=1")
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Errorf("%v:\n%s", err, out)
	}
	return false
}

// IP runs ip(8), in the network of the test.
func IP(t *testing.T, args string) {
	t.Helper()
	if out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
		t.Fatalf("ip %s: %v: %s", args, err, out)
	}
}
