package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"gitlab.com/yawning/secp256k1-voi/secec/bitcoin"

	"github.com/cofferhq/coffer/tss"
	"github.com/cofferhq/coffer/tss/dkg"
	"github.com/cofferhq/coffer/tss/frost"
)

// scheme is a signature scheme with a verifier that plays no part in signing.
type scheme struct {
	suite    tss.Suite
	title    string
	verifier string
	verify   func(public, message, signature []byte) bool
}

var schemes = []scheme{
	{
		tss.SuiteBIP340, "Schnorr signatures of Bitcoin", "the BIP-340 verifier of gitlab.com/yawning/secp256k1-voi",
		func(public, message, signature []byte) bool {
			k, err := bitcoin.NewSchnorrPublicKey(public)
			return err == nil && k.Verify(message, signature)
		},
	},
	{
		tss.SuiteEd25519, "Ed25519 signatures of RFC 8032", "crypto/ed25519 of Go's standard library",
		func(public, message, signature []byte) bool { return ed25519.Verify(public, message, signature) },
	},
}

const (
	partyCount   = 3
	patience     = 20 * time.Second       // for parties that are there
	shortPatient = 500 * time.Millisecond // for one that isn't
	proposalLife = 120                    // seconds
)

// teller tells the story of one key.
type teller struct {
	scheme
	out     io.Writer
	parties []*child // by id from 1
	set     tss.Parties
	key     *tss.Key
	public  []byte
}

// tell plays the story of one scheme with three new parties.
func tell(ctx context.Context, out io.Writer, spawn func(context.Context) (*exec.Cmd, error), s scheme) error {
	t := &teller{scheme: s, out: out}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer func() {
		for _, p := range t.parties {
			if p.cmd.ProcessState == nil {
				p.kill()
			}
		}
	}()
	t.say("==== %s: %s ====", s.suite, s.title)
	t.say("")

	t.say("1. Three parties start. Each is a process with its own memory and its own keys.")
	t.say("")
	if err := t.meet(ctx, spawn); err != nil {
		return err
	}
	t.say("2. They make a %d-of-%d key together. No process ever has the key, and the share that each", threshold, partyCount)
	t.say("   keeps never leaves its process.")
	t.say("")
	if err := t.makeKey(); err != nil {
		return fmt.Errorf("make the key: %w", err)
	}
	t.say("3. Parties 1 and 2 sign. Party 3 isn't asked.")
	t.say("")
	if err := t.sign([]uint16{1, 2}, "first payment: 100 to Alice"); err != nil {
		return fmt.Errorf("sign: %w", err)
	}
	t.say("4. Party 1, which signed, is lost for good: %s.", t.party(1).kill())
	t.say("   Parties 2 and 3 sign under the same public key.")
	t.say("")
	if err := t.sign([]uint16{2, 3}, "second payment: 200 to Bob"); err != nil {
		return fmt.Errorf("sign after the loss of a party: %w", err)
	}
	t.say("5. Party 2 is lost as well: %s. Party 3 is left with its one share.", t.party(2).kill())
	t.say("")
	if err := t.alone(); err != nil {
		return fmt.Errorf("show that one party can't sign: %w", err)
	}
	if err := t.party(3).dismiss(); err != nil {
		return fmt.Errorf("end party 3: %w", err)
	}
	return nil
}

func (t *teller) party(id uint16) *child { return t.parties[id-1] }

// meet starts the parties and tells each who the others are.
func (t *teller) meet(ctx context.Context, spawn func(context.Context) (*exec.Cmd, error)) error {
	for id := uint16(1); id <= partyCount; id++ {
		cmd, err := spawn(ctx)
		if err != nil {
			return err
		}
		p, err := start(cmd, id)
		if err != nil {
			return err
		}
		t.parties = append(t.parties, p)
		t.set = append(t.set, tss.Party{ID: id, Owner: p.Identity})
	}
	var roster []contact
	rows := [][]string{{"party", "process", "listens on", "identity key", "TLS key (SHA-256)"}}
	for _, p := range t.parties {
		roster = append(roster, p.contact)
		rows = append(rows, []string{
			strconv.Itoa(int(p.ID)), strconv.Itoa(p.cmd.Process.Pid), p.Address, p.Identity.String() + "…", short(p.Pin[:]),
		})
	}
	t.table(rows)
	_, err := t.ask(t.set.IDs(), func(id uint16) command { return command{Do: doMeet, ID: id, Roster: roster} })
	return err
}

func (t *teller) makeKey() error {
	p := &tss.Proposal{
		Protocol: tss.ProtocolDKG, Suite: t.suite, Target: 1, Threshold: threshold, Parties: t.set,
		Attempt: 1, Expiry: now() + proposalLife, Initiator: 1,
	}
	if _, err := rand.Read(p.Nonce[:]); err != nil {
		return err
	}
	answers, err := t.ask(t.set.IDs(), func(uint16) command {
		return command{Do: doKeygen, Proposal: p.Bytes(), Wait: patience}
	})
	if err != nil {
		return err
	}
	rows := [][]string{{"party", "holds: public share", "share, sealed (SHA-256)"}}
	for i, a := range answers {
		rows = append(rows, []string{strconv.Itoa(i + 1), short(a.PublicShare), short(a.Sealed)})
	}
	t.table(rows)
	t.sent(t.set.IDs(), answers)

	// Every party's certificate must prove the same key, by itself.
	for i, a := range answers {
		c, err := dkg.DecodeCertificate(a.Certificate)
		if err != nil {
			return fmt.Errorf("party %d: %w", i+1, err)
		}
		key, err := c.Key(t.set, threshold)
		if err != nil {
			return fmt.Errorf("party %d: %w", i+1, err)
		}
		if t.key == nil {
			t.key = key
		}
		share, _ := key.Share(uint16(i + 1))
		if key.T != t.key.T || !key.Public.Equal(t.key.Public) || !bytes.Equal(share.Bytes(), a.PublicShare) {
			return fmt.Errorf("party %d holds another key", i+1)
		}
	}
	if t.public, err = frost.PublicKey(t.key, frost.Request{}); err != nil {
		return err
	}
	t.say("   public key  %x", t.public)
	t.say("   Each party's certificate, with the signed votes of all three, proves this key: checked.")
	t.say("")
	return nil
}

func (t *teller) signProposal(signers []uint16, message string) ([]byte, error) {
	p := &tss.Proposal{
		Protocol: tss.ProtocolFROST, Suite: t.suite, KeyID: t.key.ID, Epoch: t.key.Epoch, Source: t.key.T,
		Threshold: t.key.Threshold, Parties: t.key.Parties, Signers: signers,
		Request: frost.Request{Message: []byte(message)}.Digest(t.suite),
		Expiry:  now() + proposalLife, Initiator: signers[0],
	}
	_, err := rand.Read(p.Nonce[:])
	return p.Bytes(), err
}

func (t *teller) sign(signers []uint16, message string) error {
	p, err := t.signProposal(signers, message)
	if err != nil {
		return err
	}
	answers, err := t.ask(signers, func(uint16) command {
		return command{Do: doSign, Proposal: p, Message: message, Wait: patience}
	})
	if err != nil {
		return err
	}
	t.sent(signers, answers)
	signature := answers[0].Signature
	for i, a := range answers {
		if !bytes.Equal(a.Signature, signature) {
			return fmt.Errorf("party %d has another signature", signers[i])
		}
	}
	if !t.verify(t.public, []byte(message), signature) {
		return errors.New("the signature doesn't verify")
	}
	t.say("   message     %q", message)
	t.say("   signature   %x", signature)
	t.say("   Verified by %s.", t.verifier)
	t.say("")
	return nil
}

// alone shows what the last party can do.
func (t *teller) alone() error {
	const message = "third payment: everything to Mallory"
	p, err := t.signProposal([]uint16{2, 3}, message)
	if err != nil {
		return err
	}
	a, err := t.party(3).ask(command{Do: doSign, Proposal: p, Message: message, Wait: shortPatient})
	if err != nil {
		return err
	}
	if a.Signature != nil || !slices.Equal(a.Absent, []uint16{2}) {
		return fmt.Errorf("party 3 answers %q and names %v as absent", a.Error, a.Absent)
	}
	t.say("   Asked to sign with party 2, it waits %s and gives up. Absent: party %d.", shortPatient, a.Absent[0])

	if p, err = t.signProposal([]uint16{3}, message); err != nil {
		return err
	}
	if a, err = t.party(3).ask(command{Do: doSign, Proposal: p, Message: message, Wait: patience}); err != nil {
		return err
	}
	if a.Signature != nil || a.Error == "" {
		return errors.New("party 3 signs by itself")
	}
	t.say("   Asked to sign by itself, it refuses: %s.", a.Error)
	t.say("")
	return nil
}

// ask gives parties their commands at once. Any party's error is an error.
func (t *teller) ask(ids []uint16, do func(id uint16) command) ([]*answer, error) {
	answers := make([]*answer, len(ids))
	errs := make([]error, len(ids))
	var wg sync.WaitGroup
	for i, id := range ids {
		wg.Go(func() {
			answers[i], errs[i] = t.party(id).ask(do(id))
			if errs[i] == nil && answers[i].Error != "" {
				errs[i] = fmt.Errorf("party %d: %s", id, answers[i].Error)
			}
		})
	}
	wg.Wait()
	return answers, errors.Join(errs...)
}

// sent shows what each party sent, round by round.
func (t *teller) sent(ids []uint16, answers []*answer) {
	head := []string{"party", "sends to each of"}
	for _, r := range answers[0].Sent {
		if r.Round == 0 {
			head = append(head, "join")
		} else {
			head = append(head, "round "+strconv.Itoa(r.Round))
		}
	}
	rows := [][]string{append(head, "in all")}
	for i, a := range answers {
		row := []string{strconv.Itoa(int(ids[i])), list(a.Sent[0].To)}
		sum := 0
		for _, r := range a.Sent {
			row = append(row, strconv.Itoa(r.Bytes)+" B")
			sum += r.Bytes * len(r.To)
		}
		rows = append(rows, append(row, strconv.Itoa(sum)+" B"))
	}
	t.table(rows)
}

func (t *teller) say(format string, args ...any) { fmt.Fprintf(t.out, format+"\n", args...) }

// table prints rows in columns, the first row in capitals, and an empty line.
func (t *teller) table(rows [][]string) {
	for i, h := range rows[0] {
		rows[0][i] = strings.ToUpper(h)
	}
	w := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', 0)
	for _, r := range rows {
		fmt.Fprintln(w, "   "+strings.Join(r, "\t"))
	}
	_ = w.Flush() // a program that can't print has nowhere to say so
	t.say("")
}

// short is the start of a long value, enough to compare by eye.
func short(b []byte) string { return hex.EncodeToString(b[:8]) + "…" }

func list(ids []uint16) string {
	words := make([]string, len(ids))
	for i, id := range ids {
		words[i] = strconv.Itoa(int(id))
	}
	return strings.Join(words, ", ")
}
