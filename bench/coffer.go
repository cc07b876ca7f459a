package main

// coffer is the side that is measured against the others.
var coffer = library{
	name:   "Coffer",
	makers: map[kind]maker{},
}
