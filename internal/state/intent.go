package state

import (
	"cmp"
	"slices"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/cofferhq/coffer/internal/authz"
	"github.com/cofferhq/coffer/internal/custody"
)

type rawJSON = jsontext.Value

// Bounds of what one intent gathers, so that the state stays bounded.
const (
	maxApprovals  = 256
	maxStatements = 64
	maxWitnessed  = 64
	maxPrepared   = 16
)

// record is an intent with all that the journal holds for it.
type record struct {
	Intent *custody.Intent `json:"-"`

	Bytes      rawJSON             `json:"intent"`
	Digest     custody.Hash        `json:"digest"`
	Index      int64               `json:"index"` // of the INTENT entry
	State      custody.IntentState `json:"state"`
	Reason     Reason              `json:"reason,omitzero"`
	Submitted  approval            `json:"submitted"`
	Approvals  []approval          `json:"approvals,omitzero"`  // yes and no, in order
	Statements []statement         `json:"statements,omitzero"` // of attestors, in order
	Witnessed  []witnessed         `json:"witnessed,omitzero"`  // in ascending size
	Authorized *authorization      `json:"authorized,omitzero"`
	Prepared   []prepared          `json:"prepared,omitzero"`
	Repairs    []repair            `json:"repairs,omitzero"` // authorized SPEED_UP and CANCEL intents that name this one
	Used       bool                `json:"used,omitzero"`    // of a repair: a transaction was prepared in its name
}

// Reason says why an intent ended.
type Reason string

// approval is verified evidence.
type approval struct {
	Person     custody.ID[custody.Person]     `json:"person,omitzero"` // or the recovery key
	Node       custody.Name                   `json:"node,omitzero"`
	Credential custody.ID[custody.Credential] `json:"credential,omitzero"`
	Kind       custody.CredentialKind         `json:"kind"`
	ACR        string                         `json:"acr,omitzero"`
	Verdict    custody.Verdict                `json:"verdict"`
	Index      int64                          `json:"index"`
}

// statement is a verified attestation.
type statement struct {
	Attestor   custody.Name        `json:"attestor"`
	Time       custody.Time        `json:"time"`
	Until      custody.Time        `json:"until"`
	Price      *custody.Price      `json:"price,omitzero"`
	Screening  *custody.Screening  `json:"screening,omitzero"`
	TravelRule *custody.TravelRule `json:"travelRule,omitzero"`
}

// witnessed says that a quorum had seen the first Size entries at Time.
type witnessed struct {
	Size int64        `json:"size"`
	Time custody.Time `json:"time"`
}

// repair is an authorized SPEED_UP or CANCEL of an intent.
type repair struct {
	Intent   custody.ID[custody.Intent] `json:"intent"`
	Cancel   bool                       `json:"cancel"`
	FeeLimit custody.Amount             `json:"feeLimit"`
}

// applyIntent puts an intent on record.
func (s *State) applyIntent(body *custody.IntentRecord, at position) (bool, error) {
	r, err := s.admitIntent(body, at)
	if err != nil {
		return false, err
	}
	s.settle(r, at)
	s.Intents[r.Intent.ID] = r
	return r.Intent.Type.Governs(), nil
}

// admitIntent makes the record of an intent that may be put there, and changes
// nothing.
func (s *State) admitIntent(body *custody.IntentRecord, at position) (*record, error) {
	in := body.Intent
	if err := s.follows(body.Prev, in.Type.Governs()); err != nil {
		return nil, err
	}
	if _, ok := s.Intents[in.ID]; ok {
		return nil, refuse(KnownIntent, "intent %s is on record", in.ID)
	}
	switch {
	case in.ID.Time() != in.Created:
		// An id is taken until every intent that could bear it is over; see forget.
		return nil, refuse(IntentTime, "the id was not made at the time that the intent was created")
	case in.Created > at.time.Add(authz.MaxAhead):
		return nil, refuse(IntentTime, "created in the future")
	case in.Expires <= at.time:
		return nil, refuse(IntentTime, "expired")
	case in.Expires > in.Created.Add(s.charter.IntentLife):
		return nil, refuse(IntentTime, "may live %s longer than the charter allows", custody.Seconds((in.Expires-in.Created)/1000)-s.charter.IntentLife)
	}
	r := &record{
		Intent: in, Bytes: body.Bytes, Digest: in.Digest(s.charterHash), Index: at.index,
		State: custody.IntentLife.Start,
	}
	if err := s.initiates(in); err != nil {
		return nil, err
	}
	by, err := s.verify(r, &body.Evidence, custody.Submit, at)
	if err != nil {
		return nil, err
	}
	if by.Person != in.Initiator || by.Kind == custody.OIDC {
		return nil, refuse(Signature, "not signed by the initiator")
	}
	r.Submitted = by
	if err := s.possible(r); err != nil {
		return nil, err
	}
	if err := s.notFrozen(r); err != nil {
		return nil, err
	}
	return r, nil
}

// initiates refuses an intent that its initiator can't submit at all, whatever
// policy says: a person acts for their own institution, a recovery key changes
// credentials and administrators alone.
func (s *State) initiates(in *custody.Intent) error {
	if s.Institutions[in.Institution] == nil {
		return refuse(Impossible, "institution %s is not on record", in.Institution)
	}
	if s.recoveryKey(in.Initiator) != nil {
		return s.recovers(in)
	}
	p := s.Persons[in.Initiator]
	if p == nil {
		return refuse(Signature, "initiator %s is not on record", in.Initiator)
	}
	if p.Institution != in.Institution {
		return refuse(Impossible, "the initiator belongs to %s", p.Institution)
	}
	return nil
}

// verify checks evidence over r's digest and verdict, and returns whose it is.
func (s *State) verify(r *record, e *custody.Evidence, verdict custody.Verdict, at position) (approval, error) {
	hash, err := custody.ApprovalHash(r.Digest, verdict)
	if err != nil {
		return approval{}, because(Signature, err)
	}
	a := approval{Kind: custody.CredentialKind(e.Kind), Verdict: verdict, Index: at.index}
	switch a.Kind {
	case custody.RecoveryEvidence:
		key := s.recoveryKey(e.Recovery)
		if key == nil || s.recoveryKey(r.Intent.Initiator) == nil {
			return approval{}, refuse(Signature, "a recovery key signs recovery intents only")
		}
		a.Person = key.ID
		if !s.trusting {
			err = authz.VerifyRecovery(key, hash, e.Signature)
		}
	case custody.NodeEvidence:
		node := s.Nodes[e.Node]
		if node == nil || verdict != custody.No || s.recoveryKey(r.Intent.Initiator) == nil {
			return approval{}, refuse(Signature, "a node can only stop a recovery")
		}
		a.Node = node.ID
		if !s.trusting {
			err = s.verifyNode(node, hash, e.Signature)
		}
	default:
		c := s.Credentials[e.Credential]
		if c == nil || c.Removed {
			return approval{}, refuse(Signature, "credential %s is not on record", e.Credential)
		}
		if c.Recovered && !r.Intent.Type.Governs() {
			return approval{}, refuse(Signature, "a credential given by recovery moves no value")
		}
		a.Person, a.Credential = c.Person, c.ID
		if s.trusting && a.Kind != custody.OIDC { // a token's acr is read from it
			break
		}
		var seen authz.Verified
		seen, err = s.realm().Verify(&c.Credential, e, hash, at.time)
		a.ACR = seen.ACR
	}
	if err != nil {
		return approval{}, because(Signature, err)
	}
	return a, nil
}

// pending returns an intent that still gathers evidence: not ended, not expired,
// nothing of it prepared.
func (s *State) pending(id custody.ID[custody.Intent], at position) (*record, error) {
	r := s.Intents[id]
	if r == nil {
		return nil, refuse(UnknownIntent, "intent %s is not on record", id)
	}
	if r.Intent.Expires <= at.time {
		return nil, refuse(IntentTime, "expired")
	}
	if r.State != custody.Submitted && r.State != custody.AuthorizedState {
		return nil, refuse(WrongState, "the intent is %s", r.State)
	}
	return r, nil
}

// applyEvidence puts an approval, a rejection or an attestation on record.
func (s *State) applyEvidence(body *custody.EvidenceRecord, at position) (bool, error) {
	e, err := s.admitEvidence(body, at)
	if err != nil {
		return false, err
	}
	r := e.of
	switch {
	case body.Attestation != nil:
		// An attestor's newest statement on a subject stands for the earlier ones.
		r.Statements = append(slices.DeleteFunc(r.Statements, e.statement.supersedes), e.statement)
	default:
		r.Approvals = append(r.Approvals, e.approval)
		if e.approval.Verdict == custody.No {
			s.settle(r, at)
		}
	}
	return r.Intent.Type.Governs(), nil
}

// evidence is what an EVIDENCE entry adds to an intent.
type evidence struct {
	of        *record
	approval  approval
	statement statement // for an attestation
}

// admitEvidence verifies evidence that may be put on record, and changes nothing.
func (s *State) admitEvidence(body *custody.EvidenceRecord, at position) (e evidence, err error) {
	if e.of, err = s.pending(body.Intent, at); err != nil {
		return e, err
	}
	if err := s.follows(body.Prev, e.of.Intent.Type.Governs()); err != nil {
		return e, err
	}
	if body.Attestation != nil {
		e.statement, err = s.attest(e.of, body.Attestation, at)
		return e, err
	}
	e.approval, err = s.approve(e.of, body.Approval, at)
	return e, err
}

func (s *State) approve(r *record, a *custody.Approval, at position) (approval, error) {
	if len(r.Approvals) == maxApprovals {
		return approval{}, refuse(OverLimit, "more than %d approvals", maxApprovals)
	}
	by, err := s.verify(r, &a.Evidence, a.Verdict, at)
	if err != nil {
		return approval{}, err
	}
	if by.Kind == custody.OIDC && by.Verdict == custody.No {
		return approval{}, refuse(Signature, "an identity provider alone rejects nothing")
	}
	same := func(old approval) bool {
		return old.Person == by.Person && old.Node == by.Node && old.Verdict == by.Verdict &&
			(old.Kind == custody.OIDC) == (by.Kind == custody.OIDC) && (by.Kind != custody.OIDC || old.ACR == by.ACR) &&
			s.counts(old)
	}
	if slices.ContainsFunc(r.Approvals, same) {
		return approval{}, refuse(Duplicate, "the same person said the same before")
	}
	return by, nil
}

// counts reports whether evidence still counts: its credential is on record.
func (s *State) counts(a approval) bool {
	switch a.Kind {
	case custody.RecoveryEvidence:
		return s.recoveryKey(a.Person) != nil
	case custody.NodeEvidence:
		return s.Nodes[a.Node] != nil
	default:
		c := s.Credentials[a.Credential]
		return c != nil && !c.Removed && (c.Kind != custody.OIDC || s.Issuers[c.Issuer] != nil)
	}
}

func (s *State) attest(r *record, proof *custody.AttestationProof, at position) (statement, error) {
	st := proof.Attestation
	if len(r.Statements) == maxStatements {
		return statement{}, refuse(OverLimit, "more than %d attestations", maxStatements)
	}
	attestor := s.Attestors[st.Attestor]
	if attestor == nil {
		return statement{}, refuse(Signature, "attestor %s is not on record", st.Attestor)
	}
	switch {
	case st.Screening != nil && st.Screening.Digest != r.Digest, st.TravelRule != nil && st.TravelRule.Digest != r.Digest:
		return statement{}, refuse(Signature, "the attestation is for another intent")
	case st.Price != nil && st.Price.Currency != s.policy.Currency:
		return statement{}, refuse(Impossible, "the policy's currency is %s", s.policy.Currency)
	case r.Intent.Type.Governs():
		return statement{}, refuse(Impossible, "nothing to attest: the intent moves no value")
	}
	if !s.trusting {
		if err := authz.VerifyAttestation(attestor, proof, s.charterHash, at.time); err != nil {
			return statement{}, because(Signature, err)
		}
	}
	next := statement{st.Attestor, st.Time, st.Until, st.Price, st.Screening, st.TravelRule}
	old := slices.IndexFunc(r.Statements, next.supersedes)
	if old >= 0 && r.Statements[old].Time >= next.Time {
		return statement{}, refuse(Duplicate, "the attestor's statement on record is as new")
	}
	return next, nil
}

// supersedes reports whether s says the newer of what old says.
func (s statement) supersedes(old statement) bool {
	if s.Attestor != old.Attestor || (s.Price == nil) != (old.Price == nil) || (s.Screening == nil) != (old.Screening == nil) {
		return false
	}
	return s.Price == nil || s.Price.Asset == old.Price.Asset
}

// move lets an event happen to an intent; what can't follow changes nothing.
func (r *record) move(event custody.IntentEvent, reason Reason) error {
	next, err := custody.IntentLife.Next(r.State, event)
	if err != nil {
		return because(WrongState, err)
	}
	r.State, r.Reason = next, cmp.Or(reason, r.Reason)
	return nil
}
