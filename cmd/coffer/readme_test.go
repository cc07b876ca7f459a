package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/cofferhq/coffer/tss"
	"github.com/cofferhq/coffer/tss/dkg"
	"github.com/cofferhq/coffer/tss/frost"
)

// TestReadmeSession runs the commands of the README and compares what they print
// with what it shows, but for keys, signatures and times.
func TestReadmeSession(t *testing.T) {
	t.Parallel()
	session := fenced(t, "console")
	const prompt = "$ go run ./cmd/coffer "
	count := 0
	for part := range strings.SplitSeq("\n"+session, "\n"+prompt) {
		if part = strings.TrimPrefix(part, "\n"); part == "" {
			continue
		}
		line, want, _ := strings.Cut(part, "\n")
		if strings.ContainsAny(line, `'"\$|<>`) {
			t.Fatalf("%q needs a shell", line)
		}
		var out, errs bytes.Buffer
		if status := Main(strings.Fields(line), nil, &out, &errs); status != exitOK {
			t.Errorf("%s: status %d: %s", line, status, &errs)
		}
		if got, want := varying(out.String()), varying(strings.TrimSuffix(want, "\n")+"\n"); got != want {
			t.Errorf("%s\nprints\n%s\nthe README shows\n%s", line, got, want)
		}
		count++
	}
	if count < 2 {
		t.Errorf("%d commands in the README, want 2 at least", count)
	}
}

// varying replaces what is different in every run.
func varying(s string) string {
	s = regexp.MustCompile(`\b[0-9a-f]{128}\b`).ReplaceAllString(s, "SIGNATURE")
	s = regexp.MustCompile(`\b[0-9a-f]{64}\b`).ReplaceAllString(s, "KEY")
	s = regexp.MustCompile(`[0-9]+ µs`).ReplaceAllString(s, "TIME µs")
	return regexp.MustCompile(`"cpuMicrosPerParty":[1-9][0-9]*`).ReplaceAllString(s, `"cpuMicrosPerParty":TIME`)
}

// fenced returns the README's block of a language.
func fenced(t *testing.T, language string) string {
	t.Helper()
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, block, ok := strings.Cut(string(readme), "\n```"+language+"\n")
	block, _, closed := strings.Cut(block, "\n```\n")
	if !ok || !closed || strings.Contains(block, "\n```") {
		t.Fatalf("the README has no block of %s", language)
	}
	return block
}

// TestReadmeCode shows that the README's Go code is the code below, and that it
// works.
func TestReadmeCode(t *testing.T) {
	t.Parallel()
	source, err := os.ReadFile("readme_test.go")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(source), "\n"+fenced(t, "go")+"\n") {
		t.Error("the README's Go code isn't in readme_test.go")
	}

	c := &ceremony{suite: tss.SuiteEd25519, threshold: 2, parties: 2, request: frost.Request{Message: []byte("hello")}}
	net := newNetwork()
	parties, set, err := c.admit(net)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range parties {
		t.Cleanup(func() { p.leave(net) })
	}
	keygen := &tss.Proposal{
		Protocol: tss.ProtocolDKG, Suite: c.suite, Target: 1, Threshold: 2, Parties: set,
		Attempt: 1, Expiry: now() + proposalLife, Initiator: 1,
	}
	if _, err := rand.Read(keygen.Nonce[:]); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	sealed := 0
	if err := each(t.Context(), parties, func(ctx context.Context, _ int, p *party) (err error) {
		p.share, err = makeKey(ctx, p.node, keygen, func(*tss.KeyShare) error {
			mu.Lock()
			defer mu.Unlock()
			sealed++
			return nil
		})
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if sealed != len(parties) {
		t.Errorf("%d shares were sealed", sealed)
	}
	key := &parties[0].share.Key
	signing := &tss.Proposal{
		Protocol: tss.ProtocolFROST, Suite: key.Suite, KeyID: key.ID, Epoch: key.Epoch, Source: key.T,
		Threshold: key.Threshold, Parties: key.Parties, Signers: set.IDs(), Request: c.request.Digest(key.Suite),
		Expiry: now() + proposalLife, Initiator: 1, Nonce: keygen.Nonce,
	}
	signatures := make([][]byte, len(parties))
	if err := each(t.Context(), parties, func(ctx context.Context, i int, p *party) (err error) {
		signatures[i], err = sign(ctx, p.node, signing, p.share, c.request.Message)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	public, err := frost.PublicKey(key, c.request)
	if err != nil {
		t.Fatal(err)
	}
	for i, s := range signatures {
		if !verify(c.suite, public, c.request.Message, s) {
			t.Errorf("party %d's signature doesn't verify", i+1)
		}
	}
}

func makeKey(ctx context.Context, node *tss.Node, p *tss.Proposal, seal func(*tss.KeyShare) error) (*tss.KeyShare, error) {
	session, err := node.Join(ctx, p, nil)
	if err != nil {
		return nil, err
	}
	defer session.Close()
	share, _, err := dkg.Run(ctx, session, seal) // seal stores the share before this party votes for the key
	return share, err
}

func sign(ctx context.Context, node *tss.Node, p *tss.Proposal, share *tss.KeyShare, message []byte) ([]byte, error) {
	session, err := node.Join(ctx, p, share)
	if err != nil {
		return nil, err
	}
	defer session.Close()
	return frost.Sign(ctx, session, frost.Request{Message: message})
}
