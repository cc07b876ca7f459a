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
		if original == nil {
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
	case NativeAsset(m.wallet.Network) == "":
		return refuse(Impossible, "networks such as %s are not known", m.wallet.Network)
	case (m.call != nil || m.message != nil) && familyOf(m.wallet.Network) != evm:
		return refuse(Impossible, "only networks of namespace eip155 have contracts here")
	}
	if m.message != nil {
		return spelled(m.wallet.Network, m.message.Contract)
	}
	if m.repairs != nil {
		return nil
	}
	if m.call != nil {
		if err := spelled(m.wallet.Network, m.call.Contract); err != nil {
			return err
		}
	}
	if err := spelled(m.wallet.Network, m.recipient.Address); err != nil {
		return err
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
	native := NativeAsset(m.wallet.Network)
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
			q = &quote{time: now}
			quotes[st.Attestor] = q
		}
		q.time = min(q.time, st.Time, now)
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

// facts gathers what is known, at a time, of what the policy asks about an intent.
// m and v are nil for one that governs.
func (s *State) facts(r *record, m *movement, v *value, now custody.Time) policy.Facts {
	asked := s.policy.Facts(r.Intent.Type)
	f := make(policy.Facts, len(asked)+1)
	f[policy.IntentType] = policy.TextOf(r.Intent.Type)
	for _, name := range asked {
		var known policy.Value
		switch about, _, _ := strings.Cut(string(name), "."); {
		case about == "initiator":
			known = s.initiatorFact(name, r)
		case about == "time":
			known = s.timeFact(name, now)
		case m == nil:
		case about == "destination" && m.recipient != nil:
			known = s.recipientFact(name, m, v)
		case about == "contract" && m.call != nil:
			known = m.callFact(name)
		case about == "typed" && m.message != nil:
			known = m.messageFact(name)
		default:
			if known = m.fact(name, v); known.Kind() == policy.Unknown {
				known = s.totalFact(name, v, now)
			}
		}
		if known.Kind() != policy.Unknown {
			f[name] = known
		}
	}
	return f
}

func (s *State) initiatorFact(name policy.Fact, r *record) policy.Value {
	p := s.Persons[r.Intent.Initiator]
	if p == nil {
		return policy.Value{}
	}
	switch name {
	case "initiator.id":
		return policy.TextOf(p.ID.String())
	case "initiator.kind":
		return policy.TextOf(p.Kind)
	case "initiator.groups":
		return policy.SetOf(s.groupsOf(p.ID)...)
	case "initiator.roles":
		return policy.SetOf(p.Roles...)
	case "initiator.country":
		return policy.TextOf(p.Country)
	default:
	}
	return policy.Value{}
}

func (s *State) timeFact(name policy.Fact, now custody.Time) policy.Value {
	weekday, minute := s.policy.Time(now)
	if name == policy.Weekday {
		return weekday
	}
	return minute
}

// fact is what is known of the wallet, the amount and the fee.
func (m *movement) fact(name policy.Fact, v *value) policy.Value {
	switch name {
	case "source.vault":
		return policy.TextOf(m.vault.ID.String())
	case "source.purpose":
		return policy.TextOf(m.vault.Purpose)
	case policy.Domain:
		return policy.TextOf(m.vault.Domain)
	case "source.wallet":
		return policy.TextOf(m.wallet.ID.String())
	case policy.Network:
		return policy.TextOf(m.wallet.Network)
	case policy.AmountAsset:
		return policy.TextOf(m.asset)
	case policy.AmountUnits:
		return policy.NumberOf(m.amount)
	case policy.FeeUnits:
		return policy.NumberOf(m.fee)
	case policy.AmountValue:
		if v.amountOK {
			return policy.NumberOf(v.amount)
		}
	case policy.FeeValue:
		if v.feeOK {
			return policy.NumberOf(v.fee)
		}
	default:
	}
	return policy.Value{}
}

func (m *movement) callFact(name policy.Fact) policy.Value {
	switch name {
	case "contract.address":
		return policy.TextOf(m.call.Contract)
	case "contract.method":
		return policy.TextOf(m.call.Method)
	default:
	}
	for _, a := range m.call.Arguments {
		if name == policy.Fact("contract.args."+string(a.Name)) {
			return policy.TextOf(a.Value)
		}
	}
	return policy.Value{}
}

func (m *movement) messageFact(name policy.Fact) policy.Value {
	switch name {
	case "typed.contract":
		return policy.TextOf(m.message.Contract)
	case "typed.primaryType":
		return policy.TextOf(m.message.PrimaryType)
	case "typed.chainId":
		_, reference, _ := strings.Cut(string(m.message.Network), ":")
		if id, err := custody.ParseAmount(reference); err == nil {
			return policy.NumberOf(id)
		}
	default:
	}
	return policy.Value{}
}

// recipientFact is what is known of who receives: by the address book, by the
// wallet's own institution, or by the intent for an address that is on no record.
func (s *State) recipientFact(name policy.Fact, m *movement, v *value) policy.Value {
	to := m.recipient
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
	switch name {
	case "destination.kind":
		return policy.TextOf(to.Kind)
	case "destination.address":
		return policy.TextOf(to.Address)
	case "destination.country":
		if country != "" {
			return policy.TextOf(country)
		}
	case "destination.counterparty":
		return policy.TextOf(counterparty)
	case "destination.tags":
		return policy.SetOf(tags...)
	case "destination.firstUse":
		return policy.BoolOf(!used)
	default:
	}
	return policy.Value{}
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
		// Hexadecimal and bech32 addresses may also be written in capitals.
		if slices.ContainsFunc(addresses, func(a custody.Address) bool {
			return list[a] || list[custody.Address(strings.ToLower(string(a)))]
		}) {
			return name
		}
	}
	return ""
}

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }
