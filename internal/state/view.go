package state

import (
	"errors"
	"maps"
	"slices"

	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/internal/policy"
)

// Decision is what policy says of an intent at a time, with what an AUTHORIZED
// entry would have to name.
type Decision struct {
	policy.Decision
	FactsHash custody.Hash
	List      custody.Name // a pinned list that the intent pays to; it blocks
}

// Decide takes the Decision on an intent on record, as Apply would at time now.
func (s *State) Decide(id custody.ID[custody.Intent], now custody.Time) (Decision, error) {
	r := s.Intents[id]
	if r == nil {
		return Decision{}, &custody.Error{Code: custody.NotFound, Field: "intent", Message: "not on record"}
	}
	d, err := s.decide(r, now)
	if err != nil {
		return Decision{}, err
	}
	hash, err := d.hashFacts()
	return Decision{d.Decision, hash, d.list}, err
}

// Status is where an intent is at a time, and why if it ended. While it gathers
// evidence, that is what its Decision lacks first.
func (s *State) Status(id custody.ID[custody.Intent], now custody.Time) (custody.IntentState, Reason, error) {
	r := s.Intents[id]
	if r == nil {
		return "", "", &custody.Error{Code: custody.NotFound, Field: "intent", Message: "not on record"}
	}
	at := r.State
	if at != custody.Submitted && at != custody.AuthorizedState {
		return at, r.Reason, nil
	}
	event := s.next(r, now)
	if event == "" {
		return at, r.Reason, nil
	}
	next, err := custody.IntentLife.Next(at, event)
	if err != nil {
		return at, r.Reason, nil //nolint:nilerr // an event that can't happen here changes nothing
	}
	return next, "", nil
}

// next is what would happen to an intent that isn't carried out yet if somebody
// looked now; "" if nothing.
func (s *State) next(r *record, now custody.Time) custody.IntentEvent {
	if r.Intent.Expires <= now {
		return custody.Expire
	}
	if s.notFrozen(r) != nil {
		return custody.Hold
	}
	if r.State == custody.AuthorizedState {
		return ""
	}
	d, err := s.decide(r, now)
	if err != nil {
		return ""
	}
	switch d.Outcome {
	case policy.Blocked, policy.Refused:
		return custody.Refuse
	case policy.Held:
		return custody.NeedsFacts
	case policy.Pending:
	default:
		return ""
	}
	if len(d.Ways) == 0 {
		return custody.NeedsApproval
	}
	switch m := d.Ways[0].Missing; {
	case m.Screening != nil || m.Price != nil:
		return custody.NeedsFacts
	case m.TravelRule != nil:
		return custody.NeedsTravelRule
	case len(m.Approvals) > 0:
		return custody.NeedsApproval
	default:
		return custody.NeedsTime
	}
}

// Consider takes the Decision that an intent would get if its initiator submitted
// it now. Nothing of it is put on record, and its signature plays no part.
func (s *State) Consider(in *custody.Intent, now custody.Time) (Decision, error) {
	r := &record{Intent: in, Digest: in.Digest(s.charterHash), Index: s.Size(), State: custody.IntentLife.Start}
	for _, id := range sortedIDs(s.Credentials) {
		if c := s.Credentials[id]; c.Person == in.Initiator && !c.Removed && c.Kind != custody.OIDC {
			r.Submitted = approval{Person: c.Person, Credential: c.ID, Kind: c.Kind, Verdict: custody.Submit, Index: r.Index}
			break
		}
	}
	if err := s.initiates(in); err != nil {
		return Decision{}, asInput(err)
	}
	if err := s.possible(r); err != nil {
		return Decision{}, asInput(err)
	}
	d, err := s.decide(r, now)
	if err != nil {
		return Decision{}, asInput(err)
	}
	hash, err := d.hashFacts()
	return Decision{d.Decision, hash, d.list}, err
}

// Check says whether an INTENT or EVIDENCE entry that somebody sent would take
// effect as the next one, and changes nothing. The error is a [custody.Error].
func (s *State) Check(body custody.EntryBody, now custody.Time) error {
	at := position{index: s.Size(), time: now}
	switch body := body.(type) {
	case *custody.IntentRecord:
		_, err := s.admitIntent(body, at)
		return asInput(err)
	case *custody.EvidenceRecord:
		_, err := s.admitEvidence(body, at)
		return asInput(err)
	default:
		return &custody.Error{Code: custody.Invalid, Message: "neither an intent nor evidence"}
	}
}

// asInput turns the refusal of an entry into the error that whoever sent it can act
// on.
func asInput(err error) error {
	if err == nil {
		return nil
	}
	v, ok := errors.AsType[*void](err)
	if !ok {
		return err
	}
	code := custody.Conflict
	switch v.code {
	case Signature:
		code = custody.Unauthenticated
	case Malformed, IntentTime, Impossible:
		code = custody.Invalid
	case UnknownIntent:
		code = custody.NotFound
	case OverLimit:
		code = custody.Exhausted
	default:
	}
	return &custody.Error{Code: code, Message: v.err.Error()}
}

// IntentView is an intent on record, for whoever shows it or carries it out.
type IntentView struct {
	Intent     *custody.Intent
	Index      int64 // of its INTENT entry
	State      custody.IntentState
	Approvals  []Approval // in order
	Authorized *Authorization
	Prepared   []Prepared // in order; nodes sign only the last
}

// Approval is a person's verified word on an intent.
type Approval struct {
	Person  custody.ID[custody.Person]
	Kind    custody.CredentialKind
	Verdict custody.Verdict
	Index   int64
}

// Authorization is what an AUTHORIZED entry fixed.
type Authorization struct {
	Index int64
	Time  custody.Time
	Rule  custody.Name // the way in that was open
}

// Prepared is a transaction on record.
type Prepared struct {
	Leaf        custody.Hash // of its PREPARED entry
	Index       int64
	By          custody.ID[custody.Intent]
	Transaction custody.Hash // SHA-256 of the unsigned transaction
	Claims      []custody.Claim
	Fee         custody.Amount
	State       custody.TransactionState
}

// Intent returns an intent on record; ok is false for one that isn't, or was
// forgotten.
func (s *State) Intent(id custody.ID[custody.Intent]) (v IntentView, ok bool) {
	r := s.Intents[id]
	if r == nil {
		return v, false
	}
	v = IntentView{Intent: r.Intent, Index: r.Index, State: r.State}
	for _, a := range r.Approvals {
		v.Approvals = append(v.Approvals, Approval{a.Person, a.Kind, a.Verdict, a.Index})
	}
	if a := r.Authorized; a != nil {
		v.Authorized = &Authorization{a.Index, a.Time, a.Rule}
	}
	for _, p := range r.Prepared {
		v.Prepared = append(v.Prepared, Prepared{p.Leaf, p.Index, p.By, p.Transaction, slices.Clone(p.Claims), p.Fee, p.State})
	}
	return v, true
}

// MayPrepare refuses, as Apply would at time now, any transaction of an intent made
// in its own name: because policy no longer allows it, something is frozen, or its
// time is over.
func (s *State) MayPrepare(id custody.ID[custody.Intent], now custody.Time) error {
	r := s.Intents[id]
	if r == nil {
		return &custody.Error{Code: custody.NotFound, Field: "intent", Message: "not on record"}
	}
	return asInput(s.mayPrepare(r, &custody.Prepared{Intent: id, By: id}, position{index: s.Size(), time: now}))
}

// Claimed returns the intent that has claimed an output; none is the zero id.
func (s *State) Claimed(o custody.Outpoint) custody.ID[custody.Intent] { return s.Outpoints[o] }

// PendingIntents returns the ids of all intents that can still move, in ascending
// order.
func (s *State) PendingIntents() []custody.ID[custody.Intent] {
	var ids []custody.ID[custody.Intent]
	for _, id := range sortedIDs(s.Intents) {
		if !custody.IntentLife.Ended(s.Intents[id].State) {
			ids = append(ids, id)
		}
	}
	return ids
}

// ChainHead is the leaf hash of the governance chain's newest entry: what the next
// entry of the chain, and every AUTHORIZED entry, carries in prev.
func (s *State) ChainHead() custody.Hash { return s.Chain }

// NewestTime is the time of the newest entry that isn't void, which witnesses
// compare with their clocks.
func (s *State) NewestTime() custody.Time { return s.Time }

// CharterBody returns the charter, or nil before the first entry. Don't change it.
func (s *State) CharterBody() *custody.Charter { return s.charter }

// ControlKeys are the control plane's keys now in force.
func (s *State) ControlKeys() custody.Control { return s.current().Control }

// PolicyInForce returns the policy. Don't change it.
func (s *State) PolicyInForce() *policy.Policy { return s.policy }

// Key returns a key on record, or nil. Don't change it.
func (s *State) Key(id custody.ID[custody.Key]) *custody.Key { return s.Keys[id] }

// Person returns a person on record, or nil. Don't change it.
func (s *State) Person(id custody.ID[custody.Person]) *custody.Person { return s.Persons[id] }

// Credential returns a credential that counts, or nil. Don't change it.
func (s *State) Credential(id custody.ID[custody.Credential]) *custody.Credential {
	if c := s.Credentials[id]; c != nil && !c.Removed {
		return &c.Credential
	}
	return nil
}

// Node returns a signer node on record, or nil. Don't change it.
func (s *State) Node(id custody.Name) *custody.SignerNode { return s.Nodes[id] }

// Vault returns a vault on record, or nil. Don't change it.
func (s *State) Vault(id custody.ID[custody.Vault]) *custody.Vault { return s.Vaults[id] }

// Wallet returns a wallet on record, or nil. Don't change it.
func (s *State) Wallet(id custody.ID[custody.Wallet]) *custody.Wallet {
	if w := s.Wallets[id]; w != nil {
		return &w.Wallet
	}
	return nil
}

// Destination returns an entry of the address book, or nil. Don't change it.
func (s *State) Destination(id custody.ID[custody.Destination]) *custody.Destination {
	if d := s.Destinations[id]; d != nil {
		return &d.Destination
	}
	return nil
}

// The lists of what is on record, in ascending order of their ids. Don't change
// what is in them.

// KeyList lists the keys.
func (s *State) KeyList() []*custody.Key { return values(s.Keys, sortedIDs(s.Keys)) }

// PersonList lists the persons.
func (s *State) PersonList() []*custody.Person { return values(s.Persons, sortedIDs(s.Persons)) }

// GroupList lists the groups.
func (s *State) GroupList() []*custody.Group { return values(s.Groups, sortedKeys(s.Groups)) }

// NodeList lists the signer nodes.
func (s *State) NodeList() []*custody.SignerNode { return values(s.Nodes, sortedKeys(s.Nodes)) }

// VaultList lists the vaults.
func (s *State) VaultList() []*custody.Vault { return values(s.Vaults, sortedIDs(s.Vaults)) }

// WalletList lists the wallets.
func (s *State) WalletList() []*custody.Wallet {
	out := make([]*custody.Wallet, 0, len(s.Wallets))
	for _, id := range sortedIDs(s.Wallets) {
		out = append(out, &s.Wallets[id].Wallet)
	}
	return out
}

// DestinationList lists the address book.
func (s *State) DestinationList() []*custody.Destination {
	out := make([]*custody.Destination, 0, len(s.Destinations))
	for _, id := range sortedIDs(s.Destinations) {
		out = append(out, &s.Destinations[id].Destination)
	}
	return out
}

func values[K comparable, V any](m map[K]V, keys []K) []V {
	out := make([]V, 0, len(keys))
	for _, k := range keys {
		out = append(out, m[k])
	}
	return out
}

func sortedIDs[T, V any](m map[custody.ID[T]]V) []custody.ID[T] {
	return slices.SortedFunc(maps.Keys(m), custody.ID[T].Compare)
}
