package policy

import (
	"flag"
	"os"
	"testing"
)

// TestMain has rapid try 2,000 cases of each property unless told otherwise.
func TestMain(m *testing.M) {
	flag.Set("rapid.checks", "2000") //nolint:errcheck,gosec // the flag exists
	flag.Parse()
	os.Exit(m.Run())
}
