package state

import (
	"fmt"

	"github.com/cofferhq/coffer/internal/custody"
)

// Signable is a transaction that may be signed now, with all that it takes to check
// it against what was authorized.
type Signable struct {
	Intent   *custody.Intent
	Rule     custody.Name // the way in that authorized it
	Prepared Prepared
	Wallet   custody.Wallet
	Key      custody.Key
	// Recipient is the wallet that an INTERNAL transfer pays, with its key; nil for
	// other destinations.
	Recipient    *custody.Wallet
	RecipientKey *custody.Key
}

// MaySign returns the newest transaction of an intent if it is the one of the
// PREPARED entry given and may be signed at time now, by the signer's own clock: it
// is not signed yet, the intent has not expired, and what authorized it still
// holds. The error is of code [custody.Forbidden] and its field says what is wrong.
func (s *State) MaySign(id custody.ID[custody.Intent], leaf custody.Hash, now custody.Time) (*Signable, error) {
	r := s.Intents[id]
	if r == nil {
		return nil, forbidden("intent", "not on record")
	}
	if len(r.Prepared) == 0 {
		return nil, forbidden("prepared", "the intent is %s: no transaction of it is on record", r.State)
	}
	p := &r.Prepared[len(r.Prepared)-1]
	switch {
	case p.Leaf != leaf:
		return nil, forbidden("prepared", "not the intent's newest transaction, which stands in entry %d", p.Index)
	case p.State != custody.TxPrepared:
		return nil, forbidden("prepared", "the transaction is %s", p.State)
	case r.State != custody.Executing || r.Authorized == nil:
		return nil, forbidden("intent", "the intent is %s", r.State)
	}
	by := s.Intents[p.By]
	if by == nil {
		return nil, forbidden("intent", "the repair %s is not on record", p.By)
	}
	at := position{index: s.Size(), time: max(now, s.Time)}
	for _, x := range []*record{r, by} {
		if x.Intent.Expires <= now {
			return nil, forbidden("expires", "intent %s expired at %s", x.Intent.ID, x.Intent.Expires)
		}
		if err := s.stillAllowed(x, at); err != nil {
			return nil, forbidden("policy", "%v", err)
		}
	}
	m, err := s.movement(r)
	if err != nil {
		return nil, forbidden("intent", "%v", err)
	}
	key := s.Keys[m.wallet.Key]
	if key == nil {
		return nil, forbidden("key", "the wallet's key is not on record")
	}
	out := &Signable{
		Intent: r.Intent, Rule: r.Authorized.Rule, Wallet: m.wallet.Wallet, Key: *key,
		Prepared: Prepared{p.Leaf, p.Index, p.By, p.Transaction, p.Claims, p.Fee, p.State},
	}
	if m.recipient != nil && m.recipient.Kind == custody.OwnWallet {
		w := s.Wallets[m.recipient.Wallet]
		if w == nil || s.Keys[w.Key] == nil {
			return nil, forbidden("destination", "the wallet paid is not on record")
		}
		out.Recipient, out.RecipientKey = &w.Wallet, s.Keys[w.Key]
	}
	return out, nil
}

func forbidden(field, format string, args ...any) error {
	return &custody.Error{Code: custody.Forbidden, Field: field, Message: fmt.Sprintf(format, args...)}
}
