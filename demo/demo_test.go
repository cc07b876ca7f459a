package main

import (
	"bytes"
	"io"
	"os/exec"
	"regexp"
	"testing"
)

// TestDemo tells the whole story, with real processes, and looks for what it must
// show.
func TestDemo(t *testing.T) {
	if testing.Short() {
		t.Skip("builds and starts all programs")
	}
	t.Parallel()
	bin := t.TempDir()
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", bin, "../cmd/cofferd", "../cmd/signerd", "../cmd/coffer").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var told bytes.Buffer
	err = run(t.Context(), options{root: "..", bin: bin, dir: t.TempDir(), exit: true}, io.MultiWriter(&told, t.Output()))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`attested by 3 nodes`,
		`let in by +rule small`,
		`PENDING_APPROVAL: waits for 2 of treasury`,
		`let in by +rule large`,
		`BLOCKED: rule restricted`,
		`kill -9 \d+ +# node-b`,
		`node-c: signed`,
		`node-.: destination: the transaction pays 0\.1 tBTC to bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080, the intent says`,
		`node-.: amount: the transaction pays 0\.4 tBTC`,
		`node-.: fee: the transaction costs`,
		`payment +proved`,
		`(?m)^    VERIFIED$`,
	} {
		if !regexp.MustCompile(want).Match(told.Bytes()) {
			t.Errorf("the story doesn't say %s", want)
		}
	}
}
