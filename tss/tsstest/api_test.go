package tsstest_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"
)

// Attacks A48 and A50: nobody outside can hand in a tweak or ask whether a signature
// share is right. No exported function of the signing packages takes a scalar, and
// none that handles one is about tweaks or shares of a signature.
func TestNoTweaksAndNoShareOracle(t *testing.T) {
	t.Parallel()
	for _, dir := range []string{"../frost", "../derive"} {
		files, err := filepath.Glob(dir + "/*.go")
		if err != nil {
			t.Fatal(err)
		}
		exported := 0
		for _, name := range files {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			f, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range f.Decls {
				fn, ok := d.(*ast.FuncDecl)
				if !ok || !fn.Name.IsExported() {
					continue
				}
				exported++
				for _, param := range fn.Type.Params.List {
					if mentionsScalar(param.Type) {
						t.Errorf("%s: %s takes a scalar", name, fn.Name)
					}
				}
				if strings.Contains(strings.ToLower(fn.Name.Name), "share") {
					t.Errorf("%s: %s is about signature shares", name, fn.Name)
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
