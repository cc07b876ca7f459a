package server

import (
	"context"
	"slices"

	"github.com/cofferhq/coffer/api"
	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/internal/state"
)

type nothing struct{}

func (s *server) records() {
	on(s, get("/v1/persons", "listPersons", "List the persons"), s.listPersons)
	on(s, get("/v1/groups", "listGroups", "List the groups"), s.listGroups)
	on(s, get("/v1/destinations", "listDestinations", "List the address book"), s.listDestinations)
	on(s, get("/v1/policy", "getPolicy", "Show the policy in force"), s.getPolicy)
}

func (s *server) listPersons(_ context.Context, in *Paging) (out *answer[api.Page[api.Person]], err error) {
	err = s.view(func(st *state.State) error {
		groups := st.GroupList()
		out, err = page(st.PersonList(), *in, func(p *custody.Person) string { return p.ID.String() }, func(p *custody.Person) api.Person {
			shown := api.Person{
				ID: p.ID.String(), Institution: string(p.Institution), Country: string(p.Country), Kind: string(p.Kind), Roles: mapped(p.Roles, word),
			}
			for _, g := range groups {
				if slices.Contains(g.Members, p.ID) {
					shown.Groups = append(shown.Groups, string(g.ID))
				}
			}
			return shown
		})
		return err
	})
	return out, err
}

func (s *server) listGroups(_ context.Context, in *Paging) (out *answer[api.Page[api.Group]], err error) {
	err = s.view(func(st *state.State) error {
		out, err = page(st.GroupList(), *in, func(g *custody.Group) string { return string(g.ID) }, func(g *custody.Group) api.Group {
			return api.Group{ID: string(g.ID), Members: mapped(g.Members, custody.ID[custody.Person].String)}
		})
		return err
	})
	return out, err
}

func (s *server) listDestinations(_ context.Context, in *Paging) (out *answer[api.Page[api.Destination]], err error) {
	err = s.view(func(st *state.State) error {
		out, err = page(st.DestinationList(), *in, func(d *custody.Destination) string { return d.ID.String() }, func(d *custody.Destination) api.Destination {
			return api.Destination{
				ID: d.ID.String(), Kind: string(d.Kind), Network: string(d.Network), Address: string(d.Address), Method: string(d.Method),
				Country: string(d.Country), Counterparty: string(d.Counterparty), Tags: mapped(d.Tags, word),
			}
		})
		return err
	})
	return out, err
}

func (s *server) getPolicy(context.Context, *nothing) (*answer[api.Policy], error) {
	out := new(answer[api.Policy])
	return out, s.view(func(st *state.State) error {
		p := st.PolicyInForce()
		out.Body = api.Policy{Hash: p.Hash().String(), Version: p.Version, Text: p.String(), Policy: slices.Clone([]byte(st.Policy))}
		return nil
	})
}
