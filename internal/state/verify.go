package state

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/cofferhq/coffer/internal/chain"
	"github.com/cofferhq/coffer/internal/chain/chains"
	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/internal/journal"
	"github.com/cofferhq/coffer/internal/policy"
)

// Trust is what a reader of bundles starts from: the hash of the charter, or of a
// snapshot that somebody they trust has verified.
type Trust struct {
	Charter  custody.Hash
	Snapshot custody.Hash
}

// ParseTrust reads a trust file: one line, "charter" or "snapshot" and 64 hex
// digits.
func ParseTrust(text []byte) (Trust, error) {
	var t Trust
	fields := strings.Fields(string(text))
	if len(fields) != 2 || len(text) > 1024 {
		return t, &custody.Error{Code: custody.Invalid, Message: `not one line "charter HASH" or "snapshot HASH"`}
	}
	to := &t.Charter
	switch fields[0] {
	case "charter":
	case "snapshot":
		to = &t.Snapshot
	default:
		return t, &custody.Error{Code: custody.Invalid, Message: `neither "charter" nor "snapshot"`}
	}
	return t, to.UnmarshalText([]byte(fields[1]))
}

// Standing is how far something is shown.
type Standing string

// The standings.
const (
	Proved   Standing = "proved"   // follows from signatures and hashes that were checked
	Attested Standing = "attested" // said by somebody whose signature was checked
)

// Check is one thing that was checked.
type Check struct {
	Check    string   `json:"check"`
	Standing Standing `json:"standing"`
	By       string   `json:"by"` // whose key or which hash shows it
	Detail   string   `json:"detail"`
}

// Report is what a bundle shows.
type Report struct {
	Charter custody.Hash               `json:"charter"`
	Intent  custody.ID[custody.Intent] `json:"intent"`
	Checks  []Check                    `json:"checks"`
}

func (r *Report) add(check string, standing Standing, by, detail string, args ...any) {
	r.Checks = append(r.Checks, Check{check, standing, by, fmt.Sprintf(detail, args...)})
}

// CheckError says which check of a bundle failed.
type CheckError struct {
	Check string
	Err   error
}

func (e *CheckError) Error() string { return e.Check + ": " + e.Err.Error() }
func (e *CheckError) Unwrap() error { return e.Err }

// Verify checks the canonical bytes of a bundle by nothing but the trust given. The
// error is a [CheckError] that names the first check that failed.
func Verify(raw []byte, trust Trust) (*Report, error) {
	v, err := verify(raw, trust)
	if err != nil {
		return nil, err
	}
	return v.report, nil
}

func verify(raw []byte, trust Trust) (*verification, error) {
	v := &verification{trust: trust, report: new(Report)}
	if err := custody.Decode(raw, &v.bundle, MaxBundle); err != nil {
		return nil, &CheckError{"form", err}
	}
	if err := v.chain(); err != nil {
		return nil, err
	}
	if err := run(step{"decision", v.decision}, step{"transaction", v.transaction}, step{"signatures", v.signatures}); err != nil {
		return nil, err
	}
	return v, nil
}

// chain checks all that a bundle shows but the transaction.
func (v *verification) chain() error {
	return run(step{"start", v.start}, step{"heads", v.heads}, step{"inclusion", v.inclusion}, step{"replay", v.replay}, step{"head", v.head})
}

type step struct {
	name string
	do   func() error
}

func run(steps ...step) error {
	for _, s := range steps {
		if err := s.do(); err != nil {
			return &CheckError{s.name, err}
		}
	}
	return nil
}

// verification is a bundle on its way through the checks.
type verification struct {
	bundle     Bundle
	trust      Trust
	state      *State
	checkpoint journal.Checkpoint // of the bundle's head; proved last
	record     *record
	signed     *custody.SignedRecord
	effects    *chain.Effects // of the transaction, decoded
	report     *Report
}

// start makes the state that the chain goes on from.
func (v *verification) start() error {
	b := &v.bundle
	if b.V != 1 {
		return errors.New("v: not 1")
	}
	switch {
	case v.trust.Snapshot == custody.Hash{} && len(b.Snapshot) > 0:
		return errors.New("snapshot: the trust file names a charter, the bundle begins at a snapshot")
	case v.trust.Snapshot == custody.Hash{}:
		v.state = New(v.trust.Charter)
	default:
		if SnapshotHash(b.Snapshot) != v.trust.Snapshot {
			return errors.New("snapshot: its hash is not the one in the trust file")
		}
		s, err := Restore(b.Snapshot)
		if err != nil {
			return err
		}
		v.state = s
		v.report.add("snapshot", Proved, "trust file", "state of %d entries", s.Size())
	}
	v.state.partial = &proven{heads: make(map[journal.Checkpoint]bool), facts: make(map[custody.ID[custody.Intent]]policy.Facts)}
	for id, raw := range b.Facts {
		facts, err := policy.ParseFacts(raw)
		if err != nil {
			return fmt.Errorf("facts.%s: %w", id, err)
		}
		v.state.partial.facts[id] = facts
	}
	for i, list := range b.Lists {
		if err := v.state.Offer(list); err != nil {
			return fmt.Errorf("lists.%d: %w", i, err)
		}
	}
	return nil
}

// heads takes the heads that were put on record as prefixes of the bundle's head.
// That head itself is checked once the witnesses are known.
func (v *verification) heads() error {
	head, err := headOf(v.bundle.Head)
	if err != nil {
		return fmt.Errorf("head: %w", err)
	}
	v.checkpoint = head
	for i, h := range v.bundle.Heads {
		if err := journal.CheckConsistency(proofOf(h.Proof), h.Size, journal.Hash(h.Root), head.Size, head.Root); err != nil {
			return fmt.Errorf("heads.%d: %w", i, err)
		}
		v.state.partial.heads[journal.Checkpoint{Origin: head.Origin, Size: h.Size, Root: journal.Hash(h.Root)}] = true
	}
	return nil
}

// inclusion checks the proofs of the chain's last entry and of the intent's own.
// What comes before in the chain is linked to its last entry by hashes.
func (v *verification) inclusion() error {
	b := &v.bundle
	proved := b.Entries
	if n := len(b.Chain); n > 0 {
		proved = slices.Concat([]rawJSON{b.Chain[n-1]}, b.Entries)
	}
	if len(proved) != len(b.Proofs) {
		return errors.New("proofs: not one for each entry that needs it")
	}
	for i, raw := range proved {
		p := b.Proofs[i]
		if err := journal.CheckInclusion(proofOf(p.Proof), p.Index, journal.LeafHash(raw), v.checkpoint.Size, v.checkpoint.Root); err != nil {
			return fmt.Errorf("proofs.%d: %w", i, err)
		}
		e, err := custody.ParseEntry(raw)
		if err != nil {
			return fmt.Errorf("entry at %d: %w", p.Index, err)
		}
		if e.Index != p.Index {
			return fmt.Errorf("proofs.%d: of index %d, the entry says %d", i, p.Index, e.Index)
		}
	}
	return nil
}

// replay applies the chain and the intent's own entries in the order of the
// journal, by the same code that every node runs. None may be void.
func (v *verification) replay() error {
	b := &v.bundle
	if len(b.Chain) == 0 && v.trust.Snapshot == (custody.Hash{}) {
		return errors.New("chain: empty, and no snapshot to go on from")
	}
	type line struct {
		raw     []byte
		entry   *custody.Entry
		chained bool
	}
	var lines []line
	for i, list := range [][]rawJSON{b.Chain, b.Entries} {
		for j, raw := range list {
			e, err := custody.ParseEntry(raw)
			if err != nil {
				return fmt.Errorf("%s.%d: %w", []string{"chain", "entries"}[i], j, err)
			}
			if n := len(lines); j > 0 && lines[n-1].entry.Index >= e.Index {
				return fmt.Errorf("%s.%d: not in the order of the journal", []string{"chain", "entries"}[i], j)
			}
			lines = append(lines, line{raw, e, i == 0})
		}
	}
	slices.SortStableFunc(lines, func(a, b line) int { return int(a.entry.Index - b.entry.Index) })
	s := v.state
	pinned := make(map[custody.Hash]bool)
	for _, hash := range s.Lists {
		pinned[hash] = true
	}
	for i, l := range lines {
		if i > 0 && lines[i-1].entry.Index == l.entry.Index {
			return fmt.Errorf("entry %d is there twice", l.entry.Index)
		}
		if l.entry.Index < s.Size() {
			return fmt.Errorf("entry %d is older than the snapshot", l.entry.Index)
		}
		r, err := s.Apply(l.raw)
		if err != nil {
			return fmt.Errorf("entry %d: %w", l.entry.Index, err)
		}
		if r.Void != "" {
			return fmt.Errorf("entry %d (%s) is void: %w", l.entry.Index, l.entry.Type, r.Why)
		}
		if (s.Chain == r.Leaf) != l.chained {
			return fmt.Errorf("entry %d is in the wrong part of the bundle", l.entry.Index)
		}
		if in, ok := l.entry.Body.(*custody.IntentRecord); ok {
			if change, ok := in.Intent.Body.(*custody.ListChange); ok {
				pinned[change.SHA256] = true
			}
		}
		of, _ := subject(l.entry)
		if signed, ok := l.entry.Body.(*custody.SignedRecord); ok && of == b.Intent {
			v.signed = signed
		}
		if !l.chained && of != b.Intent && !s.isRepair(of, b.Intent) {
			return fmt.Errorf("entry %d is of another intent", l.entry.Index)
		}
	}
	if s.charter == nil {
		return errors.New("no charter")
	}
	for i, list := range b.Lists {
		if !pinned[sha256.Sum256(list)] {
			return fmt.Errorf("lists.%d: pinned by no entry", i)
		}
	}
	v.report.Charter, v.report.Intent = s.charterHash, b.Intent
	v.report.add("charter", Proved, "hash "+short(s.charterHash), "signed by %d administrators and %d nodes", len(s.administrators()), len(s.charter.Nodes))
	v.report.add("governance", Proved, "hash links", "%d entries, each naming the one before it: none is left out up to the transaction", len(b.Chain))
	return nil
}

func (s *State) isRepair(of, original custody.ID[custody.Intent]) bool {
	r := s.Intents[of]
	if r == nil {
		return false
	}
	body, ok := r.Intent.Body.(*custody.Repair)
	return ok && body.Intent == original
}

func (s *State) administrators() []custody.ID[custody.Person] {
	for _, g := range s.charter.Groups {
		if g.ID == custody.Administrators {
			return g.Members
		}
	}
	return nil
}

func short(h custody.Hash) string { return h.String()[:16] }

// head checks that the witnesses in force cosigned the head that everything is
// under, and that no line of it went unchecked.
func (v *verification) head() error {
	head, err := v.state.CheckHead([]byte(v.bundle.Head))
	if err != nil {
		return err
	}
	if lines := strings.Count(string(v.bundle.Head), "\n— "); lines != 2+2*len(head.Cosignatures) {
		return errors.New("head: it has signatures that are not the log's or a witness's")
	}
	v.state.partial.heads[head.Checkpoint] = true
	names := make([]string, len(head.Cosignatures))
	for i, c := range head.Cosignatures {
		names[i] = string(c.Witness)
	}
	v.report.add("journal", Proved, "log key, witnesses "+strings.Join(names, ", "), "head of %d entries, witnessed at %s", head.Size, custody.At(head.WitnessedTime))
	v.report.add("inclusion", Proved, "Merkle proofs", "%d entries of the intent stand under that head", len(v.bundle.Entries))
	return nil
}

// decision reports who signed what, and what policy made of it.
func (v *verification) decision() error {
	s, b := v.state, &v.bundle
	r := s.Intents[b.Intent]
	if r == nil {
		return errors.New("the bundle's intent is not among its entries")
	}
	if r.Authorized == nil || v.signed == nil {
		return fmt.Errorf("the intent is %s: nothing of it was signed", r.State)
	}
	v.record = r
	v.report.add("intent", Proved, by(r.Submitted), "%s submitted by person %s", r.Intent.Type, r.Intent.Initiator)
	for _, a := range r.Approvals {
		v.report.add("approval", Proved, by(a), "%s by person %s in entry %d", a.Verdict, a.Person, a.Index)
	}
	for _, st := range r.Statements {
		v.report.add("attestation", Attested, "attestor "+string(st.Attestor), "%s", st)
	}
	used := make(map[custody.ID[custody.Intent]]bool)
	for id, other := range s.Intents {
		if other.Authorized != nil && !other.Intent.Type.Governs() {
			used[id] = true
		}
	}
	for id, raw := range b.Facts {
		if !used[id] {
			return fmt.Errorf("facts.%s: of no authorized intent here", id)
		}
		if again, err := custody.Encode(s.Intents[id].Authorized.Facts); err != nil || string(again) != string(raw) {
			return fmt.Errorf("facts.%s: not the facts of the Decision", id)
		}
	}
	v.report.add("decision", Proved, "policy "+short(r.Authorized.Policy), "allowed by rule %s in entry %d, at %s", r.Authorized.Rule, r.Authorized.Index, r.Authorized.Time)
	for _, name := range sortedKeys(r.Authorized.Facts) {
		if distant(name) {
			v.report.add("total", Attested, "every node, by the hash of the facts", "%s = %s", name, r.Authorized.Facts[name])
		}
	}
	return nil
}

func by(a approval) string {
	return fmt.Sprintf("%s credential %s", a.Kind, a.Credential)
}

func (s statement) String() string {
	switch {
	case s.Price != nil:
		return fmt.Sprintf("%s units of %s are worth %s minor units of %s at %s", s.Price.Units, s.Price.Asset, s.Price.Value, s.Price.Currency, s.Time)
	case s.Screening != nil:
		return fmt.Sprintf("screening %s at %s", s.Screening.Verdict, s.Time)
	default:
		return fmt.Sprintf("Travel Rule %s at %s", s.TravelRule.Status, s.Time)
	}
}

// transaction decodes the transaction and checks that it is the one prepared, does
// exactly what the intent says, and that its messages are those signed.
func (v *verification) transaction() error {
	i := slices.IndexFunc(v.record.Prepared, func(p prepared) bool { return p.Leaf == v.signed.Prepared })
	if i < 0 {
		return errors.New("signed, but not prepared")
	}
	p := &v.record.Prepared[i]
	m, err := v.state.movement(v.record)
	if err != nil {
		return err
	}
	key := v.state.Keys[m.wallet.Key]
	if key == nil {
		return errors.New("the wallet's key is not on record")
	}
	if chain.Commitment(v.bundle.ChainCode) != key.ChainCode {
		return errors.New("chainCode: not the one that the key's attestation commits to")
	}
	family, err := chains.For(m.wallet.Network)
	if err != nil {
		return err
	}
	account := chain.AccountOf(&m.wallet.Wallet, key, v.bundle.ChainCode)
	if v.effects, err = family.Decode(account, v.bundle.Transaction); err != nil {
		return fmt.Errorf("transaction: %w", err)
	}
	if err := v.effects.CheckPrepared(&custody.Prepared{Transaction: p.Transaction, Claims: p.Claims, Fee: p.Fee}); err != nil {
		return err
	}
	if err := v.record.carriedOut(p, v.effects); err != nil {
		return err
	}
	if len(v.effects.Messages) != len(v.signed.Messages) {
		return errors.New("the transaction needs another number of signatures")
	}
	for i, message := range v.effects.Messages {
		if sha256.Sum256(message.Bytes) != v.signed.Messages[i] {
			return fmt.Errorf("message %d is not the one that was signed", i)
		}
	}
	v.report.add("transaction", Proved, fmt.Sprintf("entry %d", p.Index), "SHA-256 %s", short(p.Transaction))
	for _, paid := range v.effects.Payments {
		v.report.add("payment", Proved, "decoding", "pays %s to %s", v.effects.Unit.Format(paid.Amount), paid.Address)
	}
	for _, c := range v.effects.Change {
		v.report.add("change", Proved, "decoding", "returns %s to the wallet's own address at %s", v.effects.Unit.Format(c.Amount), c.Path)
	}
	v.report.add("fee", Proved, "decoding", "%s, within the signed limit", v.effects.Unit.Format(v.effects.Fee))
	if m.recipient != nil && m.recipient.Kind == custody.OwnWallet {
		return v.ownAddress(m, family)
	}
	return nil
}

// carriedOut refuses a transaction that does anything but what the intent in whose
// name it was prepared says.
func (r *record) carriedOut(p *prepared, effects *chain.Effects) error {
	transfer, ok := r.Intent.Body.(*custody.Transfer)
	if !ok {
		return fmt.Errorf("no decoder for an intent of type %s here", r.Intent.Type)
	}
	for _, x := range r.Repairs {
		if x.Intent != p.By {
			continue
		}
		if x.Cancel {
			return effects.CheckCancel(x.FeeLimit)
		}
		limited := *transfer
		limited.FeeLimit = x.FeeLimit
		return effects.Check(&limited)
	}
	return effects.Check(transfer)
}

// ownAddress reports whether the address paid is shown to be the wallet's that the
// intent names. A wallet of another key has another chain code, which is not the
// reader's business; the signers compared it.
func (v *verification) ownAddress(m *movement, family chain.Family) error {
	w := v.state.Wallets[m.recipient.Wallet]
	if w == nil || w.Key != m.wallet.Key {
		v.report.add("recipient", Attested, "the signers' receipts", "%s is an address of wallet %s", m.recipient.Address, m.recipient.Wallet)
		return nil
	}
	key := v.state.Keys[w.Key]
	own := chain.AccountOf(&w.Wallet, key, v.bundle.ChainCode)
	address, err := family.Address(own, 0, m.recipient.Index)
	if err != nil {
		return err
	}
	if address != m.recipient.Address {
		return fmt.Errorf("recipient: wallet %s has address %s at m/%d/0/%d, the intent says %s", w.ID, address, w.Path, m.recipient.Index, m.recipient.Address)
	}
	v.report.add("recipient", Proved, "derivation", "%s is an address of wallet %s", address, w.ID)
	return nil
}
