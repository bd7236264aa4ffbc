package ceph

import (
	_ "embed"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"strings"
	"testing"
)

func TestAdvice(t *testing.T) {
	tests := map[string]struct {
		err  error
		want string
	}{
		"one of ours":            {ErrRecordChanged, "run the same command again"},
		"wrapped":                {fmt.Errorf("write record: %w (%w)", ErrRecordChanged, errors.New("ret=-34")), "run the same command again"},
		"the first of several":   {errors.Join(errors.New("x"), ErrRecordChanged, ErrUnreachable), "run the same command again"},
		"somebody else's":        {errors.New("x"), ""},
		"none":                   {nil, ""},
		"no advice, but ours in": {fmt.Errorf("a: %w", fmt.Errorf("b: %w", ErrRecordNotFound)), "nothing needs to be done"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got := Advice(test.err); got != test.want {
				t.Errorf("got %q; want %q", got, test.want)
			}
		})
	}
}

// source is embedded, because Go's test cache knows an embedded file by its content, and one
// that is opened by its time.
//
//go:embed errors.go
var source string

// Every error that the package declares can be acted on, and none is taken for
// another.
func TestEveryErrorHasAdvice(t *testing.T) {
	all := map[string]error{
		"ErrUnreachable": ErrUnreachable, "ErrAuth": ErrAuth, "ErrKeyType": ErrKeyType, "ErrSettings": ErrSettings,
		"ErrBlocklisted": ErrBlocklisted, "ErrPermission": ErrPermission,
		"ErrPoolNotFound": ErrPoolNotFound, "ErrNamespaceNotFound": ErrNamespaceNotFound,
		"ErrPoolFull": ErrPoolFull, "ErrLayout": ErrLayout,
		"ErrImageNotFound": ErrImageNotFound, "ErrImageExists": ErrImageExists,
		"ErrImageName": ErrImageName, "ErrImageRenamed": ErrImageRenamed,
		"ErrKey": ErrKey, "ErrKeyTaken": ErrKeyTaken,
		"ErrImageShrinks": ErrImageShrinks, "ErrImageLocked": ErrImageLocked,
		"ErrFenceAddress": ErrFenceAddress, "ErrFenceShort": ErrFenceShort,
		"ErrFilesystemNotFound": ErrFilesystemNotFound, "ErrSubvolumeNotFound": ErrSubvolumeNotFound,
		"ErrSubvolumeExists": ErrSubvolumeExists, "ErrSubvolumeShrinks": ErrSubvolumeShrinks,
		"ErrRecordNotFound": ErrRecordNotFound, "ErrRecordChanged": ErrRecordChanged,
		"ErrRecordUnknown": ErrRecordUnknown, "ErrRegistrationNotFound": ErrRegistrationNotFound,
		"ErrRegistrationChanged": ErrRegistrationChanged, "ErrRegistrationUnknown": ErrRegistrationUnknown,
	}
	file, err := parser.ParseFile(token.NewFileSet(), "errors.go", source, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(file, func(node ast.Node) bool {
		if spec, ok := node.(*ast.ValueSpec); ok {
			for _, name := range spec.Names {
				if strings.HasPrefix(name.Name, "Err") && all[name.Name] == nil {
					t.Errorf("%s is declared and not in this test", name)
				}
			}
		}
		return true
	})
	for name, err := range all {
		if Advice(err) == "" {
			t.Errorf("%s has no advice", name)
		}
		for other, otherErr := range all {
			if name != other && errors.Is(err, otherErr) {
				t.Errorf("%s is taken for %s", name, other)
			}
		}
	}
}
