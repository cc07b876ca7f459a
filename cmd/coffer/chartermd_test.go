package main

import (
	"bytes"
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestCharterPage runs the commands of docs/operations/charter.md with its files, in
// order, and compares what they print with what it shows, but for keys and ids. A
// command with nothing below it only has to succeed.
func TestCharterPage(t *testing.T) {
	page, err := os.ReadFile("../../docs/operations/charter.md")
	if err != nil {
		t.Fatal(err)
	}
	var files [][]byte
	var commands []string
	for _, m := range regexp.MustCompile("(?s)\n```(yaml|console)\n(.*?)```\n").FindAllSubmatch(page, -1) {
		if string(m[1]) == "yaml" {
			files = append(files, m[2])
			continue
		}
		commands = append(commands, strings.Split("\n"+strings.TrimPrefix(string(m[2]), "$ "), "\n$ ")...)
	}
	if len(files) != 2 || len(commands) < 20 {
		t.Fatalf("%d files and %d commands on the page", len(files), len(commands))
	}
	// The page's files are those of the scripts.
	for i, name := range []string{"setup.yaml", "policy.yaml"} {
		if want, err := os.ReadFile("testdata/charter/" + name); err != nil || !bytes.Equal(files[i], want) {
			t.Errorf("%s on the page differs from testdata: %v", name, err)
		}
	}
	t.Chdir(t.TempDir())
	for name, content := range map[string][]byte{"setup.yaml": files[0], "policy.yaml": files[1], "pass": []byte("correct horse battery\n")} {
		if err := os.WriteFile(name, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, command := range commands {
		line, want, _ := strings.Cut(strings.TrimPrefix(command, "\n"), "\n")
		runOnPage(t, strings.Fields(line), want)
	}
}

// runOnPage runs one command with its passphrase from a file, and without asking.
func runOnPage(t *testing.T, args []string, want string) {
	t.Helper()
	if args[0] == "cp" {
		content, err := os.ReadFile(args[1])
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(args[2], content, 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	switch {
	case args[0] != "coffer":
		t.Fatalf("%q is no command of ours", args)
	case args[2] == "sign":
		args = append(args, "--passphrase-file", "pass", "--yes")
	case args[2] == "new" && args[1] != "charter":
		args = append(args, "--passphrase-file", "pass")
	}
	var out, errs bytes.Buffer
	if status := Main(args[1:], nil, &out, &errs); status != exitOK {
		t.Fatalf("%q: status %d: %s", args, status, &errs)
	}
	got, want := individual(out.String()), individual(strings.TrimSuffix(want, "\n")+"\n")
	if want != "\n" && got != want {
		t.Errorf("%q\nprints\n%s\nthe page shows\n%s", args, got, want)
	}
}

// individual replaces what is different in every charter.
func individual(s string) string {
	s = regexp.MustCompile(`\b[0-9a-f]{64}\b`).ReplaceAllString(s, "HASH")
	s = regexp.MustCompile(`\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b`).ReplaceAllString(s, "ID")
	return regexp.MustCompile(`(?m)^((words|witness) +)[a-z ]+$`).ReplaceAllString(s, "${1}WORDS")
}
