package state

import (
	"crypto/sha256"
	"slices"

	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/internal/policy"
)

// prepared is a transaction on record.
type prepared struct {
	Leaf        custody.Hash               `json:"leaf"` // of the PREPARED entry
	Index       int64                      `json:"index"`
	By          custody.ID[custody.Intent] `json:"by"`
	Transaction custody.Hash               `json:"transaction"`
	Claims      []custody.Claim            `json:"claims"`
	Fee         custody.Amount             `json:"fee"`
	State       custody.TransactionState   `json:"state"`
}

// applyPrepared puts the exact transaction of an authorized intent on record,
// with all that it claims. What authorized the intent must still hold.
func (s *State) applyPrepared(body *custody.Prepared, at position) error {
	if err := s.follows(body.Prev, true); err != nil {
		return err
	}
	r := s.Intents[body.Intent]
	if r == nil {
		return refuse(UnknownIntent, "intent %s is not on record", body.Intent)
	}
	if r.State != custody.AuthorizedState && r.State != custody.Executing {
		return refuse(WrongState, "the intent is %s", r.State)
	}
	if len(r.Prepared) == maxPrepared {
		return refuse(OverLimit, "more than %d transactions", maxPrepared)
	}
	if err := s.mayPrepare(r, body, at); err != nil {
		return err
	}
	m, err := s.movement(r)
	if err != nil {
		return err
	}
	if err := s.claimable(r, m, body.Claims); err != nil {
		return err
	}
	if err := r.move(custody.Prepare, ""); err != nil {
		return err
	}
	if body.By != r.Intent.ID {
		if err := s.Intents[body.By].move(custody.Prepare, ""); err != nil {
			return err
		}
		s.Intents[body.By].Used = true
	}
	for _, c := range body.Claims {
		if c.Outpoint != "" {
			s.Outpoints[c.Outpoint] = r.Intent.ID
		} else if len(r.Prepared) == 0 {
			m.wallet.Next = *c.Nonce + 1
		}
	}
	for i := range r.Prepared { // nodes sign only the newest
		r.Prepared[i].advance(custody.TxReplace)
	}
	r.Prepared = append(r.Prepared, prepared{
		Leaf: at.leaf, Index: at.index, By: body.By, Transaction: body.Transaction,
		Claims: body.Claims, Fee: body.Fee, State: custody.TransactionLife.Start,
	})
	return nil
}

// mayPrepare refuses a transaction that the intent, or the repair in whose name it
// is made, doesn't allow now.
func (s *State) mayPrepare(r *record, body *custody.Prepared, at position) error {
	by, limit := r, r.feeLimit()
	if body.By != r.Intent.ID {
		i := slices.IndexFunc(r.Repairs, func(x repair) bool { return x.Intent == body.By })
		if i < 0 {
			return refuse(Impossible, "intent %s is no authorized repair of this one", body.By)
		}
		if len(r.Prepared) == 0 {
			return refuse(WrongState, "there is no transaction to repair")
		}
		if by = s.Intents[body.By]; by == nil {
			return refuse(UnknownIntent, "intent %s is not on record", body.By)
		}
		if by.State != custody.AuthorizedState && by.State != custody.Executing {
			return refuse(WrongState, "the repair is %s", by.State)
		}
		limit = r.Repairs[i].FeeLimit
	}
	if by.Intent.Expires <= at.time {
		return refuse(IntentTime, "expired")
	}
	cancelled := slices.ContainsFunc(r.Repairs, func(x repair) bool { return x.Cancel })
	if cancelled && !slices.ContainsFunc(r.Repairs, func(x repair) bool { return x.Cancel && x.Intent == body.By }) {
		return refuse(WrongState, "a CANCEL of it is authorized: only that is prepared")
	}
	if body.Fee.Cmp(limit) > 0 {
		return refuse(OverLimit, "a fee of %s is above the signed limit of %s", body.Fee, limit)
	}
	for _, x := range []*record{r, by} {
		if err := s.stillAllowed(x, at); err != nil {
			return err
		}
	}
	return nil
}

// stillAllowed refuses an authorized intent that no longer would be: a credential
// was removed, a person or vault frozen, the policy changed.
func (s *State) stillAllowed(r *record, at position) error {
	if err := s.notFrozen(r); err != nil {
		return err
	}
	if !s.counts(r.Submitted) {
		return refuse(Signature, "the initiator's credential was removed")
	}
	if err := s.initiates(r.Intent); err != nil {
		return err
	}
	if err := s.transferable(r); err != nil {
		return err
	}
	d, err := s.decide(r, at.time)
	if err != nil {
		return err
	}
	if d.Outcome != policy.Allowed {
		return refuse(NotAllowed, "the Decision is %s now", d.Outcome)
	}
	return nil
}

// feeLimit is what an intent's own transactions may cost.
func (r *record) feeLimit() custody.Amount {
	switch body := r.Intent.Body.(type) {
	case *custody.Transfer:
		return body.FeeLimit
	case *custody.ContractCall:
		return body.FeeLimit
	default:
		return custody.Amount{}
	}
}

// claimable refuses claims that would let the intent pay twice, or take what
// another intent claimed.
func (s *State) claimable(r *record, m *movement, claims []custody.Claim) error {
	if m.message != nil { // its digest is signed in the intent: there is nothing to pay twice
		if len(claims) > 0 {
			return refuse(WrongClaims, "a typed message claims nothing")
		}
		return nil
	}
	if len(claims) == 0 {
		return refuse(WrongClaims, "a transaction claims something")
	}
	for _, c := range claims {
		if (c.Nonce != nil) != lanes(m.wallet.Network) {
			return refuse(WrongClaims, "the network is ordered by %s", map[bool]string{true: "nonces", false: "outputs"}[lanes(m.wallet.Network)])
		}
		if owner, taken := s.Outpoints[c.Outpoint]; c.Outpoint != "" && taken && owner != r.Intent.ID {
			return refuse(WrongClaims, "output %s is claimed by intent %s", c.Outpoint, owner)
		}
		if c.Nonce != nil && len(r.Prepared) == 0 && s.partial == nil && *c.Nonce != m.wallet.Next {
			return refuse(WrongClaims, "nonce %d is not the lane's next, %d", *c.Nonce, m.wallet.Next)
		}
	}
	for _, earlier := range r.Prepared {
		if !conflict(earlier.Claims, claims) {
			return refuse(WrongClaims, "could be paid beside the transaction of entry %d", earlier.Index)
		}
	}
	return nil
}

// conflict reports whether at most one of two transactions with these claims can
// ever be on the network.
func conflict(a, b []custody.Claim) bool {
	return slices.ContainsFunc(a, func(x custody.Claim) bool {
		return slices.ContainsFunc(b, func(y custody.Claim) bool {
			if x.Nonce != nil && y.Nonce != nil {
				return *x.Nonce == *y.Nonce
			}
			return x.Outpoint != "" && x.Outpoint == y.Outpoint
		})
	})
}

// advance lets an event happen to a transaction, if it can.
func (p *prepared) advance(event custody.TransactionEvent) bool {
	next, err := custody.TransactionLife.Next(p.State, event)
	if err == nil {
		p.State = next
	}
	return err == nil
}

// transaction returns an intent's transaction by the leaf of its PREPARED entry.
func (s *State) transaction(id custody.ID[custody.Intent], leaf custody.Hash) (*record, *prepared, error) {
	r := s.Intents[id]
	if r == nil {
		return nil, nil, refuse(UnknownIntent, "intent %s is not on record", id)
	}
	i := slices.IndexFunc(r.Prepared, func(p prepared) bool { return p.Leaf == leaf })
	if i < 0 {
		return nil, nil, refuse(UnknownIntent, "no transaction of entry %s is on record", leaf)
	}
	return r, &r.Prepared[i], nil
}

// applySigned puts the signatures of a transaction on record, with the receipts
// of enough signers. The signatures themselves are checked by whoever has the
// chain code: the nodes before they release them, and readers of a bundle.
func (s *State) applySigned(body *custody.SignedRecord) error {
	r, p, err := s.transaction(body.Intent, body.Prepared)
	if err != nil {
		return err
	}
	m, err := s.movement(r)
	if err != nil {
		return err
	}
	key := s.Keys[m.wallet.Key]
	if key == nil {
		return refuse(Impossible, "the wallet's key is not on record")
	}
	if m.message != nil && (len(body.Messages) != 1 || body.Messages[0] != sha256.Sum256(m.message.Digest[:])) {
		return refuse(Impossible, "not a signature of the typed message")
	}
	hash := custody.ReceiptHash(s.charterHash, p.Leaf, body.Messages)
	ids := 0
	for _, receipt := range body.Receipts {
		at := slices.IndexFunc(key.Set.Members, func(m custody.Member) bool { return m.Node == receipt.Node })
		node := s.Nodes[receipt.Node]
		if at < 0 || node == nil {
			return refuse(Signature, "node %s holds no share of the key", receipt.Node)
		}
		if !s.trusting {
			if err := s.verifyNode(node, hash, receipt.Signature); err != nil {
				return because(Signature, err)
			}
		}
		ids += key.Set.Members[at].IDs
	}
	if ids < key.Set.Threshold {
		return refuse(Signature, "receipts of %d ids, the key needs %d", ids, key.Set.Threshold)
	}
	if !p.advance(custody.TxSeal) {
		return refuse(WrongState, "the transaction is %s", p.State)
	}
	return nil
}

// applyObserved shows progress that the control plane claims. It frees nothing.
func (s *State) applyObserved(body *custody.Observed) error {
	if body.Kind == custody.Tick || body.Kind == custody.DepositSeen {
		if body.Kind == custody.DepositSeen && s.Wallets[body.Wallet] == nil {
			return refuse(Impossible, "wallet %s is not on record", body.Wallet)
		}
		return nil
	}
	r, p, err := s.transaction(body.Intent, body.Prepared)
	if err != nil {
		return err
	}
	event, ok := observedEvents[body.Kind]
	if !ok {
		return nil // shows nothing of the transaction itself
	}
	if !p.advance(event) {
		return refuse(WrongState, "the transaction is %s", p.State)
	}
	by := s.Intents[p.By]
	switch {
	case p.State == custody.TxFinalized && s.cancels(r, p):
		s.end(r, custody.Withdraw, "cancelled")
		s.end(by, custody.Finish, "")
	case p.State == custody.TxFinalized:
		s.end(r, custody.Finish, "")
		s.end(by, custody.Finish, "")
	case p.State == custody.TxFailed:
		s.end(r, custody.Fail, "reverted")
		s.end(by, custody.Fail, "reverted")
	case p.State == custody.TxReorged:
		s.end(r, custody.Reopen, "")
		s.end(by, custody.Reopen, "")
	}
	return nil
}

var observedEvents = map[custody.ObservedKind]custody.TransactionEvent{
	custody.Broadcast:  custody.TxBroadcast,
	custody.Confirming: custody.TxMine,
	custody.Confirmed:  custody.TxConfirm,
	custody.Finalized:  custody.TxFinalize,
	custody.Reorged:    custody.TxReorg,
	custody.Dropped:    custody.TxDrop,
	custody.Reverted:   custody.TxRevert,
}

// cancels reports whether a transaction was made in the name of a CANCEL.
func (s *State) cancels(r *record, p *prepared) bool {
	return slices.ContainsFunc(r.Repairs, func(x repair) bool { return x.Intent == p.By && x.Cancel })
}
