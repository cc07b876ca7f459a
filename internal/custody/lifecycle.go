package custody

import (
	"fmt"
	"strings"
)

// LifeCycle is a state machine as data: what may follow what, and nothing else.
// The zero value knows no states.
type LifeCycle[S, E ~string] struct {
	Name   string
	Start  S
	States []StateNote[S] // in the order of the usual course
	Events []E
	Table  map[S]map[E]S
}

// StateNote says in a sentence what a state means and what may follow.
type StateNote[S ~string] struct {
	State S
	Note  string
}

// Next returns the state that follows from when event happens, or a [Conflict]
// error when it can't happen there.
func (l *LifeCycle[S, E]) Next(from S, event E) (S, error) {
	to, ok := l.Table[from][event]
	if !ok {
		return from, &Error{Code: Conflict, Message: fmt.Sprintf("%s is %s: %s can't happen", l.Name, from, event)}
	}
	return to, nil
}

// Ended reports whether nothing can follow s.
func (l *LifeCycle[S, E]) Ended(s S) bool { return len(l.Table[s]) == 0 }

// Diagram returns the life cycle as a Mermaid state diagram.
func (l *LifeCycle[S, E]) Diagram() string {
	var b strings.Builder
	fmt.Fprintf(&b, "stateDiagram-v2\n    [*] --> %s\n", l.Start)
	for _, s := range l.States {
		// One arrow per pair of states, however many events lead there.
		labels := make(map[S][]string)
		for _, e := range l.Events {
			if to, ok := l.Table[s.State][e]; ok && to != s.State {
				labels[to] = append(labels[to], string(e))
			}
		}
		for _, to := range l.States {
			if len(labels[to.State]) > 0 {
				fmt.Fprintf(&b, "    %s --> %s: %s\n", s.State, to.State, strings.Join(labels[to.State], ", "))
			}
		}
		if l.Ended(s.State) {
			fmt.Fprintf(&b, "    %s --> [*]\n", s.State)
		}
	}
	return b.String()
}

// Matrix returns every state with every event and what follows, a dash where
// nothing does.
func (l *LifeCycle[S, E]) Matrix() string {
	width := 0
	for _, s := range l.States {
		width = max(width, len(s.State))
	}
	for _, e := range l.Events {
		width = max(width, len(e))
	}
	var b strings.Builder
	fmt.Fprintf(&b, "# %s, from %s\n", l.Name, l.Start)
	for _, s := range l.States {
		fmt.Fprintf(&b, "\n%s: %s\n", s.State, s.Note)
		for _, e := range l.Events {
			to, ok := l.Table[s.State][e]
			if !ok {
				to = "-"
			}
			fmt.Fprintf(&b, "    %-*s  %s\n", width, e, to)
		}
	}
	return b.String()
}

// IntentState is where an intent is.
type IntentState string

// The states of an intent.
const (
	Submitted         IntentState = "SUBMITTED"
	AtScreening       IntentState = "SCREENING"
	PendingTravelRule IntentState = "PENDING_TRAVEL_RULE"
	PendingApproval   IntentState = "PENDING_APPROVAL"
	TimeLocked        IntentState = "TIME_LOCKED"
	AuthorizedState   IntentState = "AUTHORIZED"
	Executing         IntentState = "EXECUTING"
	Executed          IntentState = "EXECUTED"
	OnHold            IntentState = "ON_HOLD"
	Rejected          IntentState = "REJECTED"
	Blocked           IntentState = "BLOCKED"
	Expired           IntentState = "EXPIRED"
	Cancelled         IntentState = "CANCELLED"
	Failed            IntentState = "FAILED"
)

// IntentEvent is what happens to an intent.
type IntentEvent string

// The events of an intent. Those beginning with "needs" say what the Decision
// lacks first; a change of evidence or policy can bring any of them again.
const (
	NeedsFacts      IntentEvent = "needs facts"
	NeedsTravelRule IntentEvent = "needs travel rule"
	NeedsApproval   IntentEvent = "needs approval"
	NeedsTime       IntentEvent = "needs time"
	Authorize       IntentEvent = "authorize"
	Prepare         IntentEvent = "prepare"
	Finish          IntentEvent = "finish"
	Reopen          IntentEvent = "reopen"
	Hold            IntentEvent = "hold"
	Release         IntentEvent = "release"
	Reject          IntentEvent = "reject"
	Refuse          IntentEvent = "block"
	Expire          IntentEvent = "expire"
	Withdraw        IntentEvent = "withdraw"
	Fail            IntentEvent = "fail"
)

// IntentLife is the life cycle of intents.
var IntentLife = LifeCycle[IntentState, IntentEvent]{
	Name:  "intent",
	Start: Submitted,
	States: []StateNote[IntentState]{
		{Submitted, "on record; the Decision says next what it needs"},
		{AtScreening, "waits for prices or a screening verdict"},
		{PendingTravelRule, "waits for the other side to accept the Travel Rule data"},
		{PendingApproval, "waits for people"},
		{TimeLocked, "everybody needed has approved; a delay runs"},
		{AuthorizedState, "policy allows it and its value is counted; its transaction can be prepared"},
		{Executing, "a transaction of it is prepared, or its ceremony runs"},
		{Executed, "done; a reorganisation of the network can reopen it"},
		{OnHold, "frozen; goes on when released"},
		{Rejected, "a person said no"},
		{Blocked, "policy refuses it"},
		{Expired, "not authorized, or authorized and not prepared, when its time was over"},
		{Cancelled, "its initiator withdrew it, or a CANCEL replaced its transaction"},
		{Failed, "it was carried out and had no effect"},
	},
	Events: []IntentEvent{
		NeedsFacts, NeedsTravelRule, NeedsApproval, NeedsTime, Authorize, Prepare, Finish, Reopen, Hold, Release,
		Reject, Refuse, Expire, Withdraw, Fail,
	},
	Table: map[IntentState]map[IntentEvent]IntentState{
		Submitted:         pending(),
		AtScreening:       pending(),
		PendingTravelRule: pending(),
		PendingApproval:   pending(),
		TimeLocked:        pending(),
		OnHold:            {Release: Submitted, Reject: Rejected, Expire: Expired, Withdraw: Cancelled},
		AuthorizedState:   {Prepare: Executing, Finish: Executed, Fail: Failed, Reject: Rejected, Expire: Expired, Withdraw: Cancelled},
		Executing:         {Prepare: Executing, Finish: Executed, Fail: Failed, Withdraw: Cancelled},
		Executed:          {Reopen: Executing},
	},
}

func pending() map[IntentEvent]IntentState {
	return map[IntentEvent]IntentState{
		NeedsFacts: AtScreening, NeedsTravelRule: PendingTravelRule, NeedsApproval: PendingApproval, NeedsTime: TimeLocked,
		Authorize: AuthorizedState, Hold: OnHold,
		Reject: Rejected, Refuse: Blocked, Expire: Expired, Withdraw: Cancelled,
	}
}

// TransactionState is where a transaction is.
type TransactionState string

// The states of a transaction.
const (
	TxPrepared     TransactionState = "PREPARED"
	TxSigning      TransactionState = "SIGNING"
	TxSigned       TransactionState = "SIGNED"
	TxBroadcasting TransactionState = "BROADCASTING"
	TxConfirming   TransactionState = "CONFIRMING"
	TxConfirmed    TransactionState = "CONFIRMED"
	TxFinalized    TransactionState = "FINALIZED"
	TxReplaced     TransactionState = "REPLACED"
	TxDropped      TransactionState = "DROPPED"
	TxReorged      TransactionState = "REORGED"
	TxFailed       TransactionState = "FAILED"
)

// TransactionEvent is what happens to a transaction.
type TransactionEvent string

// The events of a transaction.
const (
	TxSign      TransactionEvent = "sign"
	TxAbort     TransactionEvent = "abort"
	TxSeal      TransactionEvent = "signed"
	TxBroadcast TransactionEvent = "broadcast"
	TxMine      TransactionEvent = "mined"
	TxConfirm   TransactionEvent = "confirmed"
	TxFinalize  TransactionEvent = "finalized"
	TxReorg     TransactionEvent = "reorged"
	TxDrop      TransactionEvent = "dropped"
	TxReplace   TransactionEvent = "replaced"
	TxRevert    TransactionEvent = "reverted"
)

// TransactionLife is the life cycle of transactions.
var TransactionLife = LifeCycle[TransactionState, TransactionEvent]{
	Name:  "transaction",
	Start: TxPrepared,
	States: []StateNote[TransactionState]{
		{TxPrepared, "its hash and claims are on record; nothing is signed"},
		{TxSigning, "a session of the signers runs; when it aborts, another may follow"},
		{TxSigned, "its signatures are on record; it is sent as often as it takes"},
		{TxBroadcasting, "a network node took it"},
		{TxConfirming, "it is in a block"},
		{TxConfirmed, "it is as deep as the network's rule asks for"},
		{TxFinalized, "it can't be undone by the network's rules, as far as those go"},
		{TxReplaced, "a conflicting transaction of the same intent is on the network instead"},
		{TxDropped, "the network forgot it; it is sent again"},
		{TxReorged, "its block is no longer on the chain; it is sent again"},
		{TxFailed, "it is in a block and had no effect"},
	},
	Events: []TransactionEvent{TxSign, TxAbort, TxSeal, TxBroadcast, TxMine, TxConfirm, TxFinalize, TxReorg, TxDrop, TxReplace, TxRevert},
	Table: map[TransactionState]map[TransactionEvent]TransactionState{
		TxPrepared:     {TxSign: TxSigning, TxSeal: TxSigned, TxReplace: TxReplaced},
		TxSigning:      {TxAbort: TxPrepared, TxSeal: TxSigned, TxReplace: TxReplaced},
		TxSigned:       {TxBroadcast: TxBroadcasting, TxMine: TxConfirming, TxReplace: TxReplaced},
		TxBroadcasting: {TxBroadcast: TxBroadcasting, TxMine: TxConfirming, TxDrop: TxDropped, TxReplace: TxReplaced, TxRevert: TxFailed},
		TxConfirming:   {TxMine: TxConfirming, TxConfirm: TxConfirmed, TxFinalize: TxFinalized, TxReorg: TxReorged, TxReplace: TxReplaced, TxRevert: TxFailed},
		TxConfirmed:    {TxMine: TxConfirmed, TxFinalize: TxFinalized, TxReorg: TxReorged, TxRevert: TxFailed},
		TxFinalized:    {TxReorg: TxReorged},
		TxReplaced:     {TxMine: TxConfirming},
		TxDropped:      {TxBroadcast: TxBroadcasting, TxMine: TxConfirming, TxReplace: TxReplaced},
		TxReorged:      {TxBroadcast: TxBroadcasting, TxMine: TxConfirming, TxDrop: TxDropped, TxReplace: TxReplaced},
		TxFailed:       {TxReorg: TxReorged},
	},
}

// DepositState is where money that came in is.
type DepositState string

// The states of a deposit.
const (
	DepositDetected    DepositState = "DETECTED"
	DepositConfirming  DepositState = "CONFIRMING"
	DepositQuarantined DepositState = "QUARANTINED"
	DepositCleared     DepositState = "CLEARED"
	DepositCredited    DepositState = "CREDITED"
	DepositFrozen      DepositState = "FROZEN"
)

// DepositEvent is what happens to a deposit.
type DepositEvent string

// The events of a deposit.
const (
	DepositMine     DepositEvent = "mined"
	DepositReorg    DepositEvent = "reorged"
	DepositConfirm  DepositEvent = "confirmed"
	DepositClear    DepositEvent = "cleared"
	DepositCredit   DepositEvent = "credited"
	DepositFreeze   DepositEvent = "frozen"
	DepositUnfreeze DepositEvent = "released"
)

// DepositLife is the life cycle of deposits.
var DepositLife = LifeCycle[DepositState, DepositEvent]{
	Name:  "deposit",
	Start: DepositDetected,
	States: []StateNote[DepositState]{
		{DepositDetected, "seen on the network, in no block"},
		{DepositConfirming, "in a block, not yet as deep as the network's rule asks for"},
		{DepositQuarantined, "deep enough; screening has not cleared it"},
		{DepositCleared, "screened; may be credited"},
		{DepositCredited, "counted to the vault"},
		{DepositFrozen, "held by decision of risk; goes back to quarantine when released"},
	},
	Events: []DepositEvent{DepositMine, DepositReorg, DepositConfirm, DepositClear, DepositCredit, DepositFreeze, DepositUnfreeze},
	Table: map[DepositState]map[DepositEvent]DepositState{
		DepositDetected:    {DepositMine: DepositConfirming, DepositConfirm: DepositQuarantined, DepositFreeze: DepositFrozen},
		DepositConfirming:  {DepositReorg: DepositDetected, DepositConfirm: DepositQuarantined, DepositFreeze: DepositFrozen},
		DepositQuarantined: {DepositReorg: DepositDetected, DepositClear: DepositCleared, DepositFreeze: DepositFrozen},
		DepositCleared:     {DepositReorg: DepositDetected, DepositCredit: DepositCredited, DepositFreeze: DepositFrozen},
		DepositCredited:    {DepositReorg: DepositDetected},
		DepositFrozen:      {DepositUnfreeze: DepositQuarantined, DepositReorg: DepositDetected},
	},
}
