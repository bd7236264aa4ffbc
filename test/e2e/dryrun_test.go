//go:build lab

package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestADryRunShowsThePairAndMakesNothing(t *testing.T) {
	eachHelm(t, func(team *team) {
		for _, command := range [][]string{
			{"template", "web", web},
			{"template", "web", web, "--show-only=templates/pvc.yaml"},
			{"template", "web", web, "--validate"},
			{"template", "db", db},
			{"template", "db", db, "--show-only", "templates/statefulset.yaml"},
			{"install", "db", db, "--dry-run=client"},
			{"install", "db", db, "--dry-run=server"},
			{"install", "db", db, "--dry-run"},
			{"upgrade", "--install", "web", web, "--dry-run=server"},
		} {
			out := team.must(east, team.rendered(append(command, migratable)...)...)
			claim := "data-db-0"
			if strings.Contains(strings.Join(command, " "), web) {
				claim = "web-files"
			}
			for _, want := range []string{"kind: PersistentVolume\n", "volumeHandle: " + team.namespace + "." + claim, "kind: PersistentVolumeClaim"} {
				if !strings.Contains(out, want) {
					team.Errorf("helm %v: %q is not in:\n%s", command, want, out)
				}
			}
			team.unchanged(east, nothing())
		}
	})
}

func TestADryRunOfAnUpgradeChangesNothing(t *testing.T) {
	eachHelm(t, func(team *team) {
		team.must(east, team.rendered("install", "db", db, migratable)...)
		team.bound(east, "data-db-0")
		before := team.look(east)
		for _, dry := range []string{"--dry-run", "--dry-run=client", "--dry-run=server"} {
			team.must(east, team.rendered("upgrade", "db", db, migratable, size("2Gi"), replicas("2"), dry)...)
			team.unchanged(east, before)
		}
	})
}

// Both spellings that Helm 3 has for "not dry" are real installs.
func TestAnInstallWithDryRunNoneIsReal(t *testing.T) {
	eachHelm(t, func(team *team) {
		team.must(east, team.rendered("install", "web", web, migratable, "--dry-run=none")...)
		team.bound(east, "web-files")
	})
}

// Helm 3 writes the files before it calls the renderer, with nothing to render.
func TestTemplateIntoAFolderWorks(t *testing.T) {
	eachHelm(t, func(team *team) {
		dir := team.TempDir()
		team.must(east, team.rendered("template", "web", web, migratable, "--output-dir", dir)...)
		written, err := os.ReadFile(filepath.Join(dir, "web", "templates", "pvc.yaml"))
		if err != nil {
			team.Fatal(err)
		}
		if got, want := strings.Contains(string(written), "volumeHandle: "), team.helm == 4; got != want {
			team.Errorf("pvc.yaml has the pair: %t, want %t\n%s", got, want, written)
		}
		team.unchanged(east, nothing())
	})
}
