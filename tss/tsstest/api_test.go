package tsstest_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"strings"
	"testing"
)

// Attacks A48 and A50: nobody outside can hand in a tweak or ask whether a signature
// share is right. No exported function of the signing packages takes a scalar, and
// none that handles one is about tweaks or shares of a signature.
func TestNoTweaksAndNoShareOracle(t *testing.T) {
	t.Parallel()
	for _, dir := range []string{"../frost", "../derive"} {
		//nolint:staticcheck // the packages have no build tags that matter here
		packages, err := parser.ParseDir(token.NewFileSet(), dir, func(f fs.FileInfo) bool { return !strings.HasSuffix(f.Name(), "_test.go") }, 0)
		if err != nil {
			t.Fatal(err)
		}
		exported := 0
		for _, p := range packages {
			for _, f := range p.Files {
				for _, d := range f.Decls {
					fn, ok := d.(*ast.FuncDecl)
					if !ok || !fn.Name.IsExported() {
						continue
					}
					exported++
					for _, param := range fn.Type.Params.List {
						if mentionsScalar(param.Type) {
							t.Errorf("%s: %s takes a scalar", dir, fn.Name)
						}
					}
					if name := strings.ToLower(fn.Name.Name); strings.Contains(name, "share") {
						t.Errorf("%s: %s is about signature shares", dir, fn.Name)
					}
				}
			}
		}
		if exported < 3 {
			t.Errorf("%s: only %d exported functions found", dir, exported)
		}
	}
}

func mentionsScalar(e ast.Expr) bool {
	found := false
	ast.Inspect(e, func(n ast.Node) bool {
		if id, ok := n.(*ast.Ident); ok && id.Name == "Scalar" {
			found = true
		}
		return true
	})
	return found
}
