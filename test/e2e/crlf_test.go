//go:build lab

package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Helm 3 finds the documents of --show-only by the line with the template's name, which
// it writes with a plain line end whatever the template has.
func TestATemplateWithCRLFCanBeShownAlone(t *testing.T) {
	eachHelm(t, func(team *team) {
		chart := filepath.Join(team.TempDir(), "web")
		if err := os.CopyFS(chart, os.DirFS(web)); err != nil {
			team.Fatal(err)
		}
		name := filepath.Join(chart, "templates", "pvc.yaml")
		template, err := os.ReadFile(name)
		if err != nil {
			team.Fatal(err)
		}
		team.write(name, strings.ReplaceAll(string(template), "\n", "\r\n"))
		for _, create := range []string{"cluster", "client"} {
			out := team.must(east, "template", "web", chart, migratable, "--show-only=templates/pvc.yaml",
				"--post-renderer", team.renderer(), "--post-renderer-args=--create="+create)
			if !strings.Contains(out, "name: web-files") || !strings.Contains(out, `storageClassName: ""`) {
				team.Errorf("--create %s: no rendered claim in:\n%q", create, out)
			}
			if strings.Contains(out, "kind: Deployment") {
				team.Errorf("--create %s shows more than the claim:\n%s", create, out)
			}
		}
		team.unchanged(east, nothing())
	})
}
