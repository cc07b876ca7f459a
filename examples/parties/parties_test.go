package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"gitlab.com/yawning/secp256k1-voi/secec/bitcoin"

	"github.com/cofferhq/coffer/tss"
	"github.com/cofferhq/coffer/tss/frost"
	"github.com/cofferhq/coffer/tss/group"
)

// TestMain makes the test binary the program where a test starts it as one.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 {
		switch os.Args[1] {
		case partyCommand:
			main()
		case "demo":
			os.Exit(Main(nil, os.Stdin, os.Stdout, os.Stderr))
		case "mute":
			os.Exit(0)
		case "noise":
			_, _ = os.Stdout.WriteString("hello\n")
			os.Exit(0)
		case "nobody":
			_, _ = os.Stdout.WriteString("{}\n")
			os.Exit(0)
		}
	}
	os.Exit(m.Run())
}

func limit(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// TestDemo runs the demonstration and checks what it claims.
func TestDemo(t *testing.T) {
	t.Parallel()
	var out, errs bytes.Buffer
	if status := Main(nil, nil, &out, &errs); status != 0 {
		t.Fatalf("status %d: %s", status, &errs)
	}
	text, ok := strings.CutSuffix(out.String(), "\n"+theEnd+"\n")
	if !ok {
		t.Errorf("the demonstration doesn't end as it should")
	}
	_, text, _ = strings.Cut(text, "==== bip340")
	bip340, ed, ok := strings.Cut(text, "==== ed25519")
	if !ok {
		t.Fatalf("a scheme is missing in:\n%s", &out)
	}
	for name, c := range map[string]struct {
		text   string
		verify func(public, message, signature []byte) bool
	}{
		"bip340": {bip340, func(public, message, signature []byte) bool {
			k, err := bitcoin.NewSchnorrPublicKey(public)
			return err == nil && k.Verify(message, signature)
		}},
		"ed25519": {ed, func(public, message, signature []byte) bool { return ed25519.Verify(public, message, signature) }},
	} {
		public := found(t, c.text, `public key  ([0-9a-f]{64})\n`, 1)[0]
		messages := found(t, c.text, `message     (".*")\n`, 2)
		signatures := found(t, c.text, `signature   ([0-9a-f]{128})\n`, 2)
		for i := range messages {
			message, err := strconv.Unquote(messages[i])
			if err != nil {
				t.Fatal(err)
			}
			if !c.verify(unhex(t, public), []byte(message), unhex(t, signatures[i])) {
				t.Errorf("%s: signature %d is of another message", name, i+1)
			}
		}
		found(t, c.text, `(Party [12])(?:, which signed,)? is lost (?:for good|as well): signal: killed`, 2)
		found(t, c.text, `(Absent: party 2)\.\n`, 1)
		found(t, c.text, `refuses: .*(signers: 1, fewer than the threshold of 2)`, 1)
	}
}

func found(t *testing.T, text, pattern string, n int) []string {
	t.Helper()
	var out []string
	for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1) {
		out = append(out, m[1])
	}
	if len(out) != n {
		t.Fatalf("%d matches of %s, want %d, in:\n%s", len(out), pattern, n, text)
	}
	return out
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestOrphans shows that no party outlives the demonstration: all processes hold
// the other end of the pipe, so it ends when the last of them does.
func TestOrphans(t *testing.T) {
	t.Parallel()
	demo := exec.CommandContext(limit(t), os.Args[0], "demo")
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	demo.Stderr = write
	out, err := demo.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := demo.Start(); err != nil {
		t.Fatal(err)
	}
	_ = write.Close() // the processes have it now
	defer context.AfterFunc(limit(t), func() { _ = read.Close() })()
	for seen := ""; !strings.Contains(seen, "PARTY  PROCESS"); {
		b := make([]byte, 4096)
		n, err := out.Read(b)
		if err != nil {
			t.Fatalf("%v after:\n%s", err, seen)
		}
		seen += string(b[:n])
	}
	if err := demo.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(read); err != nil {
		t.Errorf("a party lives on: %v", err)
	}
	if err := demo.Wait(); err == nil {
		t.Error("the demonstration wasn't killed")
	}
}

// TestFailure shows that a demonstration that fails says so.
func TestFailure(t *testing.T) {
	t.Parallel()
	for arg, want := range map[string]string{
		"mute": "it has ended", "noise": "its answer: invalid", "nobody": "it didn't introduce itself",
	} {
		var out, errs bytes.Buffer
		status := demonstrate(func(ctx context.Context) (*exec.Cmd, error) {
			return exec.CommandContext(ctx, os.Args[0], arg), nil
		}, &out, &errs)
		if status != 1 || strings.Contains(out.String(), theEnd) || !strings.Contains(errs.String(), want) {
			t.Errorf("%s: status %d, stdout %q, stderr %q", arg, status, &out, &errs)
		}
	}
	var out, errs bytes.Buffer
	if status := Main([]string{"--help"}, nil, &out, &errs); status != 2 || out.Len() != 0 || errs.Len() == 0 {
		t.Errorf("unexpected argument: status %d, stdout %q, stderr %q", status, &out, &errs)
	}
}

// trio is three parties in this process that have met, and what they answered.
type trio struct {
	*teller
	parties []*party
	answers []answer
}

func newTrio(t *testing.T) *trio {
	t.Helper()
	tr := &trio{teller: &teller{scheme: schemes[1]}}
	var roster []contact
	for id := uint16(1); id <= partyCount; id++ {
		p, err := newParty(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(p.close)
		p.contact.ID = id
		roster = append(roster, p.contact)
		tr.parties = append(tr.parties, p)
		tr.set = append(tr.set, tss.Party{ID: id, Owner: p.contact.Identity})
	}
	for _, p := range tr.parties {
		if a := p.obey(command{Do: doMeet, ID: p.contact.ID, Roster: roster}); a.Error != "" {
			t.Fatal(a.Error)
		}
	}
	return tr
}

// each lets parties obey at once, and keeps their answers.
func (tr *trio) each(t *testing.T, ids []uint16, c command) {
	t.Helper()
	answers := make([]answer, len(ids))
	var wg sync.WaitGroup
	for i, id := range ids {
		wg.Go(func() { answers[i] = tr.parties[id-1].obey(c) })
	}
	wg.Wait()
	for i, a := range answers {
		if a.Error != "" {
			t.Fatalf("party %d: %s", ids[i], a.Error)
		}
	}
	tr.answers = append(tr.answers, answers...)
}

func (tr *trio) keygenProposal() *tss.Proposal {
	return &tss.Proposal{
		Protocol: tss.ProtocolDKG, Suite: tr.suite, Target: 1, Threshold: threshold, Parties: tr.set,
		Attempt: 1, Expiry: now() + proposalLife, Initiator: 1, Nonce: [32]byte{1},
	}
}

// share opens a party's sealed share.
func (tr *trio) share(t *testing.T, id uint16) *tss.KeyShare {
	t.Helper()
	p := tr.parties[id-1]
	plain, err := p.sealing.Open(nil, nil, p.sealed, p.contact.Identity[:])
	if err != nil {
		t.Fatal(err)
	}
	share, err := tss.DecodeKeyShare(plain)
	if err != nil {
		t.Fatal(err)
	}
	return share
}

// TestSecretsStay shows that nothing a party answers holds its secret share.
func TestSecretsStay(t *testing.T) {
	t.Parallel()
	tr := newTrio(t)
	tr.each(t, tr.set.IDs(), command{Do: doKeygen, Proposal: tr.keygenProposal().Bytes(), Wait: patience})
	tr.key = &tr.share(t, 1).Key
	p, err := tr.signProposal([]uint16{1, 3}, "hello")
	if err != nil {
		t.Fatal(err)
	}
	tr.each(t, []uint16{1, 3}, command{Do: doSign, Proposal: p, Message: "hello", Wait: patience})
	for id := uint16(1); id <= partyCount; id++ {
		secret, _ := tr.share(t, id).Secret(id)
		little := secret.Bytes()
		if len(little) != group.ScalarSize || bytes.Contains(tr.parties[id-1].sealed, little) {
			t.Errorf("party %d's share isn't sealed", id)
		}
		for _, a := range tr.answers {
			for _, said := range [][]byte{a.PublicShare, a.Sealed, a.Certificate, a.Signature} {
				if bytes.Contains(said, little) {
					t.Errorf("an answer holds party %d's secret share", id)
				}
			}
		}
	}
}

// TestPartyRefuses shows that a party doesn't do all that the coordinator says.
func TestPartyRefuses(t *testing.T) {
	t.Parallel()
	tr := newTrio(t)
	good := tr.keygenProposal()
	refused := func(name string, c command, want string) {
		t.Helper()
		c.Wait = patience
		if a := tr.parties[0].obey(c); !strings.Contains(a.Error, want) || a.Signature != nil {
			t.Errorf("%s: %q, want %q", name, a.Error, want)
		}
	}
	other := *good
	other.Threshold = 3
	refused("another threshold", command{Do: doKeygen, Proposal: other.Bytes()}, "another threshold")
	other = *good
	other.Parties = tss.Parties{{ID: 1, Owner: tr.set[0].Owner}, {ID: 2, Owner: tr.set[1].Owner}, {ID: 3, Owner: tss.IdentityKey{1}}}
	refused("other parties", command{Do: doKeygen, Proposal: other.Bytes()}, "other parties")
	other = *good
	other.Expiry = now() - 1
	refused("expired proposal", command{Do: doKeygen, Proposal: other.Bytes()}, tss.ErrExpired.Error())
	refused("no proposal", command{Do: doKeygen}, tss.ErrProposal.Error())
	refused("signing without a key", command{Do: doSign}, "not the time")
	refused("another roster", command{Do: doMeet}, "not the time")
	refused("unknown command", command{Do: "export"}, "not the time")

	tr.each(t, tr.set.IDs(), command{Do: doKeygen, Proposal: good.Bytes(), Wait: patience})
	tr.key = &tr.share(t, 1).Key
	refused("a second key", command{Do: doKeygen, Proposal: good.Bytes()}, "not the time")

	// The session is about the message in the proposal, whatever the command says.
	p, err := tr.signProposal([]uint16{1, 2}, "hello")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		refused("another message", command{Do: doSign, Proposal: p, Message: "bye"}, frost.ErrOtherRequest.Error())
	})
	wg.Go(func() {
		a := tr.parties[1].obey(command{Do: doSign, Proposal: p, Message: "hello", Wait: shortPatient})
		if len(a.Absent) != 1 || a.Absent[0] != 1 {
			t.Errorf("the other signer answers %q", a.Error)
		}
	})
	wg.Wait()
}

func TestServe(t *testing.T) {
	t.Parallel()
	if err := serve(strings.NewReader("nonsense\n"), io.Discard); err == nil {
		t.Error("a line that isn't JSON is obeyed")
	}
	if err := serve(strings.NewReader(""), broken{}); err == nil {
		t.Error("a party that nobody hears goes on")
	}
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("broken") }
