package compile

import (
	"os"
	"testing"
	"time"
)

var now = time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)

func TestTreasury(t *testing.T) {
	source, err := os.ReadFile("../../../examples/policies/treasury.yaml")
	if err != nil {
		t.Fatal(err)
	}
	c, err := Compile(source, Options{Now: now})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s\n%s\n%v", c.Raw, c.Policy, c.Warnings)
}

func TestX(t *testing.T) {
	source, _ := os.ReadFile("/tmp/y/x.yaml")
	c, err := Compile(source, Options{Now: now})
	if err != nil {
		t.Fatal("\n", err)
	}
	t.Logf("%s\n%s\n%v", c.Raw, c.Policy, c.Warnings)
}
