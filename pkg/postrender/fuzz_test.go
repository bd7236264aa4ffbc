package postrender_test

import (
	"io/fs"
	"path"
	"testing"

	"github.com/cephferry/cephferry/testdata"
)

// FuzzRender feeds mutations of the golden inputs and of the odd streams to
// [checkRender] and [checkForCluster].
func FuzzRender(f *testing.F) {
	for _, root := range []string{golden, goldenCluster} {
		inputs, err := fs.Glob(testdata.Files, path.Join(root, "*", "input.yaml"))
		if err != nil || len(inputs) == 0 {
			f.Fatalf("no golden cases: %v", err)
		}
		for _, name := range inputs {
			input, err := testdata.Files.ReadFile(name)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(input)
		}
	}
	for _, stream := range oddStreams {
		f.Add([]byte(stream.text))
	}
	classes, err := goldenClasses(f)(f.Context())
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, input []byte) {
		checkRender(t, classes, input)
		checkForCluster(t, input)
	})
}
