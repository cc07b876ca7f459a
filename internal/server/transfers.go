package server

import (
	"context"

	"github.com/cofferhq/coffer/api"
	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/internal/state"
	"github.com/cofferhq/coffer/internal/store"
)

type transferQuery struct {
	Paging

	State     string `query:"state" doc:"only in this state"`
	Initiator string `query:"initiator" doc:"only by this person"`
}

func (s *server) transfers() {
	on(s, get("/v1/transfers", "listTransfers", "List transfers, newest first"), s.listTransfers)
	on(s, get("/v1/transfers/{intent}", "getTransfer", "Show a transfer and its transactions"), s.getTransfer)
}

func (s *server) listTransfers(ctx context.Context, in *transferQuery) (*answer[api.Page[api.Transfer]], error) {
	list, next, err := s.find(ctx, &intentQuery{Paging: in.Paging, Type: string(custody.TransferIntent), State: in.State, Initiator: in.Initiator})
	if err != nil {
		return nil, err
	}
	out := &answer[api.Page[api.Transfer]]{Body: api.Page[api.Transfer]{Data: []api.Transfer{}, NextCursor: next}}
	for i := range list {
		shown, err := s.transfer(ctx, &list[i])
		if err != nil {
			return nil, err
		}
		out.Body.Data = append(out.Body.Data, *shown)
	}
	return out, nil
}

func (s *server) getTransfer(ctx context.Context, in *IntentPath) (*answer[api.Transfer], error) {
	id, err := parseID[custody.Intent]("transfer", in.ID)
	if err != nil {
		return nil, err
	}
	row, err := s.store.Intent(ctx, id)
	if err != nil {
		return nil, err
	}
	if row.Type != custody.TransferIntent {
		return nil, missing("transfer")
	}
	shown, err := s.transfer(ctx, &row)
	if err != nil {
		return nil, err
	}
	return &answer[api.Transfer]{*shown}, nil
}

func (s *server) transfer(ctx context.Context, row *store.Intent) (*api.Transfer, error) {
	live, err := s.live(ctx, row)
	if err != nil {
		return nil, err
	}
	in, err := custody.ParseIntent(row.Bytes)
	if err != nil {
		return nil, &custody.Error{Code: custody.Internal, Message: "an intent on record doesn't parse", Err: err}
	}
	body, ok := in.Body.(*custody.Transfer)
	if !ok {
		return nil, &custody.Error{Code: custody.Internal, Message: "an intent on record is not of its type"}
	}
	transactions, err := s.transactions(ctx, row.ID, body.Network)
	if err != nil {
		return nil, err
	}
	return &api.Transfer{
		ID: row.ID.String(), State: string(live.state), Reason: string(live.reason), Rule: blockedBy(live.state, live.reason),
		WaitingFor: row.Note, ExternalID: row.ExternalID, Network: string(body.Network), Wallet: body.Wallet.String(),
		Amount: amount(body.Amount, body.Asset), FeeLimit: amount(body.FeeLimit, state.NativeAsset(body.Network)),
		Destination: recipient(&body.Destination), Initiator: row.Initiator.String(),
		Created: row.Created.Time(), Expires: row.Expires.Time(), Updated: row.Updated.Time(),
		Witnessed: live.witnessed, Approvals: live.approvals, Opened: live.opened, Transactions: transactions,
	}, nil
}

func recipient(r *custody.Recipient) api.Recipient {
	out := api.Recipient{
		Kind: string(r.Kind), Address: string(r.Address), Wallet: idText(r.Wallet), Destination: idText(r.Destination), Country: string(r.Country),
	}
	if r.Kind == custody.OwnWallet {
		out.Index = &r.Index
	}
	return out
}

func (s *server) transactions(ctx context.Context, id custody.ID[custody.Intent], network custody.Network) ([]api.Transaction, error) {
	list, err := s.store.TransactionsOf(ctx, id)
	if err != nil {
		return nil, err
	}
	tip, _, err := s.store.Tip(ctx, network)
	if err != nil {
		return nil, err
	}
	return mapped(list, func(t store.Transaction) api.Transaction {
		out := api.Transaction{
			Leaf: t.Prepared.String(), Index: t.Index, State: string(t.State), Fee: amount(t.Fee, state.NativeAsset(network)),
			Transaction: hashText(t.ID), Broadcast: instant(t.Broadcast), Block: hashText(t.Block),
		}
		if t.Height > 0 {
			height := int64(t.Height)
			out.Height, out.Depth = &height, int64(tip.Height)-height+1
		}
		return out
	}), nil
}
