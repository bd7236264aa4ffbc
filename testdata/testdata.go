// Package testdata is what tests render and compare with. Go's test cache knows an embedded file
// by its content, and one that a test opens by its time, which is new in every clone.
package testdata

import (
	"embed"
	"os"
	"path/filepath"
	"testing"
)

// Files are the folders postrender and cluster.
//
//go:embed postrender cluster
var Files embed.FS

// Copy writes a file of [Files] to where the code under test can open it, and returns its path.
// That is outside of the repository, where the test cache does not look.
func Copy(t testing.TB, name string) string {
	t.Helper()
	data, err := Files.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(t.TempDir(), filepath.Base(name))
	if err := os.WriteFile(copied, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return copied
}
