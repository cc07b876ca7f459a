package state

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/internal/policy"
)

// movement is what an intent moves, as its facts see it: its own body, or for a
// SPEED_UP or CANCEL the body of the intent that it repairs.
type movement struct {
	wallet    *wallet
	vault     *custody.Vault
	asset     custody.Asset
	amount    custody.Amount
	fee       custody.Amount // highest; of a repair, what it adds
	recipient *custody.Recipient
	call      *custody.ContractCall
	message   *custody.TypedMessage
	repairs   *record // the original of a SPEED_UP or CANCEL
}

// movement resolves what an intent moves, or refuses it as impossible.
func (s *State) movement(r *record) (*movement, error) {
	var m movement
	var network custody.Network
	var id custody.ID[custody.Wallet]
	switch body := r.Intent.Body.(type) {
	case *custody.Transfer:
		network, id = body.Network, body.Wallet
		m.asset, m.amount, m.fee, m.recipient = body.Asset, body.Amount, body.FeeLimit, &body.Destination
	case *custody.ContractCall:
		network, id = body.Network, body.Wallet
		m.asset, m.amount, m.fee, m.recipient, m.call = body.Asset, body.Amount, body.FeeLimit, &body.Destination, body
	case *custody.TypedMessage:
		network, id = body.Network, body.Wallet
		m.asset, m.amount, m.message = body.Asset, body.Amount, body
	case *custody.Repair:
		original := s.Intents[body.Intent]
		if original == nil || original.Intent == nil {
			return nil, refuse(UnknownIntent, "intent %s to repair is not on record", body.Intent)
		}
		if _, again := original.Intent.Body.(*custody.Repair); again || original.Intent.Type.Governs() || original.Intent.Type == custody.TypedMessageIntent {
			return nil, refuse(Impossible, "an intent of type %s has no transaction to repair", original.Intent.Type)
		}
		of, err := s.movement(original)
		if err != nil {
			return nil, err
		}
		m = *of
		m.fee, m.repairs = body.FeeLimit.Sub(of.fee), original
		return &m, nil
	default:
		return nil, refuse(Impossible, "the intent moves nothing")
	}
	if m.wallet = s.Wallets[id]; m.wallet == nil {
		return nil, refuse(Impossible, "wallet %s is not on record", id)
	}
	if m.wallet.Network != network {
		return nil, refuse(Impossible, "the wallet is on %s", m.wallet.Network)
	}
	m.vault = s.Vaults[m.wallet.Vault]
	return &m, nil
}

// transferable refuses an intent that moves value where it couldn't be carried
// out: nothing to move it from, or nobody on record to move it to.
func (s *State) transferable(r *record) error {
	m, err := s.movement(r)
	if err != nil {
		return err
	}
	switch {
	case m.vault.Institution != r.Intent.Institution:
		return refuse(Impossible, "the vault belongs to %s", m.vault.Institution)
	case m.vault.Domain != r.Intent.Domain:
		return refuse(Impossible, "the vault belongs to domain %s", m.vault.Domain)
	case nativeAsset(m.wallet.Network) == "":
		return refuse(Impossible, "networks such as %s are not known", m.wallet.Network)
	case (m.call != nil || m.message != nil) && familyOf(m.wallet.Network) != evm:
		return refuse(Impossible, "only networks of namespace eip155 have contracts here")
	}
	if m.message != nil || m.repairs != nil {
		return nil
	}
	switch to := m.recipient; to.Kind {
	case custody.OwnWallet:
		w := s.Wallets[to.Wallet]
		if w == nil || w.Network != m.wallet.Network {
			return refuse(Impossible, "destination wallet %s is not on record for the network", to.Wallet)
		}
	case custody.Allowlisted, custody.Counterparty:
		d := s.Destinations[to.Destination]
		switch {
		case d == nil || d.Kind != to.Kind:
			return refuse(Impossible, "destination %s is not on record as %s", to.Destination, to.Kind)
		case d.Network != m.wallet.Network || policy.Fold(string(d.Address)) != policy.Fold(string(to.Address)):
			return refuse(Impossible, "destination %s has another address", to.Destination)
		case d.Method != "" && (m.call == nil || d.Method != m.call.Method):
			return refuse(Impossible, "destination %s allows method %s alone", to.Destination, d.Method)
		}
	case custody.OneTime:
	}
	return nil
}

// notFrozen refuses what touches something frozen.
func (s *State) notFrozen(r *record) error {
	if len(s.Frozen) == 0 || r.Intent.Type == custody.HoldReleaseIntent || r.Intent.Type == custody.FreezeIntent {
		return nil
	}
	if r.Intent.Type.Governs() && s.recoveryKey(r.Intent.Initiator) != nil {
		return nil
	}
	touched := []custody.Target{{Intent: r.Intent.ID}, {Person: r.Intent.Initiator}}
	if !r.Intent.Type.Governs() {
		touched = append(touched, custody.Target{All: true})
		if m, err := s.movement(r); err == nil {
			touched = append(touched, custody.Target{Vault: m.vault.ID}, custody.Target{Key: m.wallet.Key})
			if m.repairs != nil {
				touched = append(touched, custody.Target{Intent: m.repairs.Intent.ID})
			}
		}
	}
	if body, ok := r.Intent.Body.(*custody.KeyCeremony); ok {
		touched = append(touched, custody.Target{Key: body.Key}, custody.Target{All: true})
	}
	for _, t := range touched {
		if slices.Contains(s.Frozen, t) {
			return refuse(FrozenTarget, "frozen until a HOLD_RELEASE names it")
		}
	}
	return nil
}

// frozenPerson reports whether what a person signed doesn't count for now.
func (s *State) frozenPerson(id custody.ID[custody.Person]) bool {
	return len(s.Frozen) > 0 && slices.Contains(s.Frozen, custody.Target{Person: id})
}

// value is what an intent moves in the policy's currency, by the prices on record.
type value struct {
	amount, fee     custody.Amount
	amountOK, feeOK bool // known
	prices          []policy.Priced
	keys            [len(scopes)]scopeKey
	total           custody.Amount // what running totals count: amount and fee, of a repair the fee it adds
	totalOK         bool
}

// worth values an intent. Of several prices the highest counts; what can't be held
// is unknown.
func (s *State) worth(r *record, m *movement, now custody.Time) value {
	var v value
	native := nativeAsset(m.wallet.Network)
	type quote struct {
		amount, fee       custody.Amount
		hasAmount, hasFee bool
		time              custody.Time
	}
	quotes := make(map[custody.Name]*quote)
	for _, st := range r.Statements {
		if st.Price == nil || st.Until <= now || !s.mayState(st.Attestor, custody.PriceAttestation) || st.Price.Currency != s.policy.Currency {
			continue
		}
		q := quotes[st.Attestor]
		if q == nil {
			q = &quote{time: st.Time}
			quotes[st.Attestor] = q
		}
		q.time = min(q.time, st.Time)
		if st.Price.Asset == m.asset {
			q.amount, q.hasAmount = m.amount.MulDiv(st.Price.Value, st.Price.Units)
		}
		if st.Price.Asset == native {
			q.fee, q.hasFee = m.fee.MulDiv(st.Price.Value, st.Price.Units)
		}
	}
	if m.fee.IsZero() { // nothing to price
		v.feeOK = true
	}
	for _, name := range sortedKeys(quotes) {
		q := quotes[name]
		if m.fee.IsZero() {
			q.hasFee = true
		}
		if q.hasFee && q.fee.Cmp(v.fee) >= 0 {
			v.fee, v.feeOK = q.fee, true
		}
		if m.repairs != nil { // the original's amount was counted; what a repair adds is its fee
			q.amount, q.hasAmount = q.fee, q.hasFee
		}
		if q.hasAmount && q.amount.Cmp(v.amount) >= 0 {
			v.amount, v.amountOK = q.amount, true
		}
		if sum, ok := q.amount.Add(q.fee); ok && q.hasAmount && q.hasFee {
			v.prices = append(v.prices, policy.Priced{Attestor: name, Value: sum, Time: q.time})
		}
	}
	if m.repairs != nil {
		if m.fee.IsZero() {
			v.amount, v.amountOK = custody.Amount{}, true
		}
		v.total, v.totalOK = v.fee, v.feeOK
	} else if v.amountOK && v.feeOK {
		v.total, v.totalOK = v.amount.Add(v.fee)
	}
	v.keys = [len(scopes)]scopeKey{
		scopeKey("source.vault " + m.vault.ID.String()),
		scopeKey("initiator " + r.Intent.Initiator.String()),
		"",
		scopeKey("institution " + string(m.vault.Institution)),
	}
	if m.recipient != nil {
		v.keys[2] = scopeKey("destination " + string(m.wallet.Network) + " " + policy.Fold(string(m.recipient.Address)))
	}
	return v
}

// mayState reports whether an attestor is on record for a kind of statement.
func (s *State) mayState(id custody.Name, kind custody.AttestationKind) bool {
	a := s.Attestors[id]
	return a != nil && slices.Contains(a.States, kind)
}

// facts gathers what is known of an intent at a time. v is nil for one that
// governs.
func (s *State) facts(r *record, m *movement, v *value, now custody.Time) policy.Facts {
	f := make(policy.Facts, 64)
	f[policy.IntentType] = policy.TextOf(r.Intent.Type)
	if p := s.Persons[r.Intent.Initiator]; p != nil {
		f["initiator.id"] = policy.TextOf(p.ID.String())
		f["initiator.kind"] = policy.TextOf(p.Kind)
		f["initiator.groups"] = policy.SetOf(s.groupsOf(p.ID)...)
		f["initiator.roles"] = policy.SetOf(p.Roles...)
		f["initiator.country"] = policy.TextOf(p.Country)
	}
	f[policy.Weekday], f[policy.Minute] = s.policy.Time(now)
	if m == nil {
		return f
	}
	f["source.vault"] = policy.TextOf(m.vault.ID.String())
	f["source.purpose"] = policy.TextOf(m.vault.Purpose)
	f[policy.Domain] = policy.TextOf(m.vault.Domain)
	f["source.wallet"] = policy.TextOf(m.wallet.ID.String())
	f[policy.Network] = policy.TextOf(m.wallet.Network)
	f[policy.AmountAsset] = policy.TextOf(m.asset)
	f[policy.AmountUnits] = policy.NumberOf(m.amount)
	if v.amountOK {
		f[policy.AmountValue] = policy.NumberOf(v.amount)
	}
	if m.message != nil {
		f["typed.contract"] = policy.TextOf(m.message.Contract)
		f["typed.primaryType"] = policy.TextOf(m.message.PrimaryType)
		if id, err := custody.ParseAmount(reference(m.message.Network)); err == nil {
			f["typed.chainId"] = policy.NumberOf(id)
		}
		return f
	}
	f[policy.FeeUnits] = policy.NumberOf(m.fee)
	if v.feeOK {
		f[policy.FeeValue] = policy.NumberOf(v.fee)
	}
	s.recipientFacts(f, m, v)
	s.totalFacts(f, v.keys, v.total, v.totalOK, now)
	if m.call != nil && r.Intent.Type == custody.ContractCallIntent {
		f["contract.address"] = policy.TextOf(m.call.Contract)
		f["contract.method"] = policy.TextOf(m.call.Method)
		for _, a := range m.call.Arguments {
			f[policy.Fact("contract.args."+string(a.Name))] = policy.TextOf(a.Value)
		}
	}
	return f
}

// recipientFacts adds what is known of who receives.
func (s *State) recipientFacts(f policy.Facts, m *movement, v *value) {
	to := m.recipient
	f["destination.kind"] = policy.TextOf(to.Kind)
	f["destination.address"] = policy.TextOf(to.Address)
	country, counterparty, used := to.Country, custody.LEI(""), s.Totals[v.keys[2]] != nil
	var tags []custody.Name
	switch to.Kind {
	case custody.OwnWallet:
		if w := s.Wallets[to.Wallet]; w != nil {
			country, used = s.Institutions[s.Vaults[w.Vault].Institution].Country, w.Used
		}
	case custody.Allowlisted, custody.Counterparty:
		if d := s.Destinations[to.Destination]; d != nil {
			country, counterparty, tags, used = d.Country, d.Counterparty, d.Tags, d.Used
		}
	case custody.OneTime:
	}
	if country != "" {
		f["destination.country"] = policy.TextOf(country)
	}
	f["destination.counterparty"] = policy.TextOf(counterparty)
	f["destination.tags"] = policy.SetOf(tags...)
	f["destination.firstUse"] = policy.BoolOf(!used)
}

// groupsOf returns the groups that hold a person, in ascending order.
func (s *State) groupsOf(id custody.ID[custody.Person]) []custody.Name {
	var names []custody.Name
	for name, g := range s.Groups {
		if slices.Contains(g.Members, id) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// listed returns the pinned list that a recipient or contract is on, if any.
func (s *State) listed(m *movement) custody.Name {
	if m == nil || len(s.lists) == 0 {
		return ""
	}
	var addresses []custody.Address
	if m.recipient != nil {
		addresses = append(addresses, m.recipient.Address)
	}
	if m.call != nil {
		addresses = append(addresses, m.call.Contract)
		for _, a := range m.call.Arguments {
			addresses = append(addresses, custody.Address(a.Value))
		}
	}
	if m.message != nil {
		addresses = append(addresses, m.message.Contract)
	}
	for _, name := range sortedKeys(s.lists) {
		list := s.lists[name]
		if slices.ContainsFunc(addresses, func(a custody.Address) bool { return list[custody.Address(policy.Fold(string(a)))] }) {
			return name
		}
	}
	return ""
}

// reference is the part of a CAIP-2 id behind the colon.
func reference(n custody.Network) string {
	_, ref, _ := strings.Cut(string(n), ":")
	return ref
}

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }
