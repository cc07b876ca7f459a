package state

import (
	"crypto"
	"errors"
	"fmt"
	"iter"

	"github.com/cofferhq/coffer/internal/authz"
	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/internal/hybrid"
	"github.com/cofferhq/coffer/internal/journal"
	"github.com/cofferhq/coffer/internal/policy"
)

// MaxRules is the newest version of the rules that this code knows.
const MaxRules = 1

// State is what the journal so far makes true. It isn't safe for concurrent use.
type State struct {
	charterHash custody.Hash
	charter     *custody.Charter // nil before the first entry

	data
	policy  *policy.Policy
	lists   map[custody.Name]map[custody.Address]bool // contents of data.Lists
	offered map[custody.Hash]*custody.List            // contents that were provided, by hash

	keys map[custody.ID[custody.Credential]]crypto.PublicKey // of credentials, parsed when first needed
	ids  map[custody.Name]hybrid.PublicKey                   // of nodes' identity keys, likewise

	trusting bool    // of Replay
	partial  *proven // set while a bundle is replayed; see bundle.go
}

// data is the part of the state that a snapshot holds.
type data struct {
	Edge  journal.Frontier `json:"edge"` // of all entries, void ones too
	Rules int              `json:"rules"`
	Time  custody.Time     `json:"time"`  // of the newest entry that isn't void
	Chain custody.Hash     `json:"chain"` // leaf hash of the governance chain's newest entry

	Institutions map[custody.Name]*custody.Institution            `json:"institutions"`
	Persons      map[custody.ID[custody.Person]]*custody.Person   `json:"persons"`
	Groups       map[custody.Name]*custody.Group                  `json:"groups"`
	Credentials  map[custody.ID[custody.Credential]]*credential   `json:"credentials"`
	Nodes        map[custody.Name]*custody.SignerNode             `json:"nodes"`
	Quorums      []quorum                                         `json:"quorums"` // in ascending size
	Attestors    map[custody.Name]*custody.Attestor               `json:"attestors"`
	Issuers      map[custody.Name]*custody.Issuer                 `json:"issuers"`
	RelyingParty custody.RelyingParty                             `json:"relyingParty"`
	Policy       rawJSON                                          `json:"policy"`
	Lists        map[custody.Name]custody.Hash                    `json:"lists"`
	Vaults       map[custody.ID[custody.Vault]]*custody.Vault     `json:"vaults"`
	Wallets      map[custody.ID[custody.Wallet]]*wallet           `json:"wallets"`
	Keys         map[custody.ID[custody.Key]]*custody.Key         `json:"keys"`
	Destinations map[custody.ID[custody.Destination]]*destination `json:"destinations"`
	Frozen       []custody.Target                                 `json:"frozen"`
	Intents      map[custody.ID[custody.Intent]]*record           `json:"intents"`
	Outpoints    map[custody.Outpoint]custody.ID[custody.Intent]  `json:"outpoints"`
	Totals       map[scopeKey]*total                              `json:"totals"`
}

// credential is a credential on record. A removed one stays, so that its id is
// never used again.
type credential struct {
	custody.Credential
	Removed   bool `json:"removed,omitzero"`
	Recovered bool `json:"recovered,omitzero"` // given by the recovery group: signs no intent that moves value
}

type wallet struct {
	custody.Wallet
	Next uint64 `json:"next"` // the nonce that comes next in the wallet's lane
	Used bool   `json:"used"` // somebody was authorized to pay into it
}

type destination struct {
	custody.Destination
	Used bool `json:"used"` // somebody was authorized to pay to it
}

// New returns the state before the first entry of the deployment whose charter
// hash is given. The first entry applied must be that charter.
func New(charter custody.Hash) *State {
	return &State{charterHash: charter, data: emptyData()}
}

func emptyData() data {
	return data{
		Institutions: make(map[custody.Name]*custody.Institution),
		Persons:      make(map[custody.ID[custody.Person]]*custody.Person),
		Groups:       make(map[custody.Name]*custody.Group),
		Credentials:  make(map[custody.ID[custody.Credential]]*credential),
		Nodes:        make(map[custody.Name]*custody.SignerNode),
		Attestors:    make(map[custody.Name]*custody.Attestor),
		Issuers:      make(map[custody.Name]*custody.Issuer),
		Lists:        make(map[custody.Name]custody.Hash),
		Vaults:       make(map[custody.ID[custody.Vault]]*custody.Vault),
		Wallets:      make(map[custody.ID[custody.Wallet]]*wallet),
		Keys:         make(map[custody.ID[custody.Key]]*custody.Key),
		Destinations: make(map[custody.ID[custody.Destination]]*destination),
		Intents:      make(map[custody.ID[custody.Intent]]*record),
		Outpoints:    make(map[custody.Outpoint]custody.ID[custody.Intent]),
		Totals:       make(map[scopeKey]*total),
	}
}

// Code says why an entry is void. Codes are part of the rules: every replica
// records the same one.
type Code string

// The codes.
const (
	Malformed     Code = "malformed"      // not a canonical entry
	WrongIndex    Code = "index"          // not at its own position
	WrongTime     Code = "time"           // earlier than the newest entry that isn't void
	WrongPrev     Code = "prev"           // doesn't follow the governance chain's newest entry
	SecondCharter Code = "second_charter" // a charter that isn't the first entry
	UnknownIntent Code = "unknown_intent" // names an intent that isn't on record
	KnownIntent   Code = "known_intent"   // an intent id that is on record
	IntentTime    Code = "intent_time"    // made in the future, expired, or allowed too long a life
	Signature     Code = "signature"      // evidence that doesn't verify, or by nobody on record
	Duplicate     Code = "duplicate"      // the same evidence again
	Impossible    Code = "impossible"     // asks for what the state doesn't have or allow
	WrongState    Code = "state"          // the intent or transaction is not where this could happen
	FrozenTarget  Code = "frozen"         // touches what is frozen
	NotAllowed    Code = "policy"         // the Decision is not to allow
	OtherInputs   Code = "inputs"         // the Decision was taken from other facts or another policy
	WrongClaims   Code = "claims"         // claims what is taken, or not all that it must
	OverLimit     Code = "limit"          // above a signed limit
	NoQuorum      Code = "quorum"         // a head without its quorum, or not of this journal
)

// Result is what became of an entry.
type Result struct {
	Index int64
	Leaf  custody.Hash
	Void  Code  // empty if the entry took effect
	Why   error // for people; nil if the entry took effect
}

// void is the error by which a rule refuses an entry.
type void struct {
	code Code
	err  error
}

func (v *void) Error() string { return string(v.code) + ": " + v.err.Error() }
func (v *void) Unwrap() error { return v.err }

func refuse(code Code, format string, args ...any) error {
	return &void{code, fmt.Errorf(format, args...)}
}

func because(code Code, err error) error { return &void{code, err} }

// StopError says that this program can't go on: the journal needs rules that it
// doesn't know, or a list that it wasn't given. Nothing was changed.
type StopError struct {
	Rules int          // the version needed; 0 if it is a list that lacks
	List  custody.Name // the list that lacks
	Hash  custody.Hash // of its bytes
}

func (e *StopError) Error() string {
	if e.Rules > 0 {
		return fmt.Sprintf("state: the journal follows rules %d, this program knows %d: install a newer one", e.Rules, MaxRules)
	}
	return fmt.Sprintf("state: list %s with SHA-256 %s is needed to go on", e.List, e.Hash)
}

// ErrCharter is the error of a first entry that isn't the charter of the
// deployment, signed by everybody that it names.
var ErrCharter = errors.New("state: not the charter")

// Apply adds the entry with the given canonical bytes, and keeps them. The error
// is a [StopError], or [ErrCharter] for a first entry that can't begin a journal;
// the state is unchanged then. An entry that is refused is no error: see [Result].
func (s *State) Apply(raw []byte) (Result, error) { return s.apply(parse(raw)) }

// ApplyAll is Apply for entries in order, and calls each with every result. It
// reads entries ahead beside applying them, so that most of a replay's time goes
// into checking signatures. It ends at the first error, of Apply, entries or each.
func (s *State) ApplyAll(entries iter.Seq2[[]byte, error], each func(Result) error) error {
	ahead := make(chan []parsed, 4)
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		defer close(ahead)
		var batch []parsed
		hand := func() bool {
			select {
			case ahead <- batch:
				batch = nil
				return true
			case <-stop:
				return false
			}
		}
		for raw, err := range entries {
			p := parsed{unread: err}
			if err == nil {
				p = parse(raw)
			}
			batch = append(batch, p)
			if len(batch) == readAhead && !hand() {
				return
			}
		}
		hand()
	}()
	for batch := range ahead {
		for _, p := range batch {
			if p.unread != nil {
				return p.unread
			}
			r, err := s.apply(p)
			if err != nil {
				return err
			}
			if err := each(r); err != nil {
				return err
			}
		}
	}
	return nil
}

// readAhead is how many entries are handed over at once.
const readAhead = 128

// parsed is what an entry's bytes hold, or why they hold nothing.
type parsed struct {
	leaf   custody.Hash
	entry  *custody.Entry
	err    error
	unread error // of reading ahead: there are no bytes
}

func parse(raw []byte) parsed {
	p := parsed{leaf: custody.Hash(journal.LeafHash(raw))}
	p.entry, p.err = custody.ParseEntry(raw)
	return p
}

func (s *State) apply(p parsed) (Result, error) {
	if s.Rules > MaxRules {
		return Result{}, &StopError{Rules: s.Rules}
	}
	if err := s.lacksList(); err != nil {
		return Result{}, err
	}
	result := Result{Index: s.Edge.Size(), Leaf: p.leaf}
	err := s.admit(p, result.Index)
	if errors.Is(err, ErrCharter) {
		return Result{}, err
	}
	if err != nil {
		result.Void, result.Why = Impossible, err
		if v, ok := errors.AsType[*void](err); ok {
			result.Void = v.code
		}
	}
	return result, s.append(p.leaf)
}

// append counts an entry, void or not. A bundle holds too few entries for a tree.
func (s *State) append(leaf custody.Hash) error {
	if s.partial != nil {
		return nil
	}
	index := s.Edge.Size()
	if _, err := s.Edge.Append(journal.Hash(leaf)); err != nil {
		return err
	}
	s.forget(index)
	return nil
}

// Replay is Apply for an entry whose result this replica has recorded before,
// below a head that it trusts. One recorded as void is only counted. For the others
// signatures, but those of tokens and heads, and the hash of the facts are not
// checked again; every other rule is, and an entry that now fares otherwise is an
// error that leaves the state unusable.
func (s *State) Replay(raw []byte, recorded Code) (Result, error) {
	if recorded != "" {
		leaf := custody.Hash(journal.LeafHash(raw))
		result := Result{Index: s.Edge.Size(), Leaf: leaf, Void: recorded}
		return result, s.append(leaf)
	}
	s.trusting = true
	result, err := s.Apply(raw)
	s.trusting = false
	if err == nil && result.Void != "" {
		err = fmt.Errorf("state: entry %d is void (%w) and is recorded as in effect", result.Index, result.Why)
	}
	return result, err
}

// admit checks an entry and lets it take effect.
func (s *State) admit(p parsed, index int64) error {
	e, leaf, err := p.entry, p.leaf, p.err
	if err != nil {
		if s.charter == nil {
			return fmt.Errorf("%w: %w", ErrCharter, err)
		}
		return because(Malformed, err)
	}
	if s.charter == nil {
		if err := s.begin(e, leaf); err != nil {
			return fmt.Errorf("%w: %w", ErrCharter, err)
		}
		return nil
	}
	if s.partial == nil && e.Index != index {
		return refuse(WrongIndex, "says %d and is %d", e.Index, index)
	}
	if e.Time < s.Time {
		return refuse(WrongTime, "%s is before %s", e.Time, s.Time)
	}
	at := position{e.Index, e.Time, leaf}
	var chained bool
	switch body := e.Body.(type) {
	case *custody.CharterRecord:
		return refuse(SecondCharter, "the journal has a charter")
	case *custody.IntentRecord:
		chained, err = s.applyIntent(body, at)
	case *custody.EvidenceRecord:
		chained, err = s.applyEvidence(body, at)
	case *custody.Authorized:
		chained, err = s.applyAuthorized(body, at)
	case *custody.Cosigned:
		chained, err = s.applyCosigned(body, at)
	case *custody.KeyRecord:
		chained, err = true, s.applyKey(body, at)
	case *custody.Prepared:
		err = s.applyPrepared(body, at)
	case *custody.SignedRecord:
		err = s.applySigned(body)
	case *custody.Observed:
		err = s.applyObserved(body)
	default:
		err = refuse(Malformed, "unknown entry")
	}
	if err != nil {
		return err
	}
	if chained {
		s.Chain = leaf
	}
	s.Time = e.Time
	return nil
}

// position is where an entry stands.
type position struct {
	index int64
	time  custody.Time
	leaf  custody.Hash
}

// follows refuses an entry that must name the governance chain's newest entry and
// doesn't, and any other that names one.
func (s *State) follows(prev custody.Hash, names bool) error {
	switch {
	case names && prev != s.Chain:
		return refuse(WrongPrev, "prev is not the governance chain's newest entry")
	case !names && prev != custody.Hash{}:
		return refuse(WrongPrev, "prev is only for the governance chain")
	}
	return nil
}

// Size is the number of entries so far, void ones too.
func (s *State) Size() int64 { return s.Edge.Size() }

// Root is the root of the journal's tree.
func (s *State) Root() custody.Hash { return custody.Hash(s.Edge.Root()) }

// CharterHash names the deployment.
func (s *State) CharterHash() custody.Hash { return s.charterHash }

func (s *State) realm() authz.Realm {
	return authz.Realm{
		RelyingParty: &s.RelyingParty,
		Issuer:       func(n custody.Name) *custody.Issuer { return s.Issuers[n] },
		Key:          s.key,
	}
}

// key returns a credential's parsed key. An id is never used for another key.
func (s *State) key(c *custody.Credential) (crypto.PublicKey, error) {
	if k, ok := s.keys[c.ID]; ok {
		return k, nil
	}
	k, err := authz.ParseKey(c.Algorithm, c.PublicKey)
	if err != nil {
		return nil, err
	}
	if s.keys == nil {
		s.keys = make(map[custody.ID[custody.Credential]]crypto.PublicKey)
	}
	s.keys[c.ID] = k
	return k, nil
}

// verifyNode checks a signature of a node on record.
func (s *State) verifyNode(n *custody.SignerNode, hash custody.Hash, signature []byte) error {
	k, ok := s.ids[n.ID]
	if !ok {
		var err error
		if k, err = hybrid.ParsePublicKey(n.IdentityKey); err != nil {
			return err
		}
		if s.ids == nil {
			s.ids = make(map[custody.Name]hybrid.PublicKey)
		}
		s.ids[n.ID] = k
	}
	return authz.VerifyNode(k, hash, signature)
}
