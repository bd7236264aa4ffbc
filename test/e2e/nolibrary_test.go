//go:build lab

package e2e

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cephferry/cephferry/test/lab"
	"github.com/cephferry/cephferry/test/scene"
)

// usePure makes the team use the static build, which has no Ceph library: the one
// that `make helm4-plugin` puts into the plugin.
func (team *team) usePure() {
	team.plugins = programs.plugins
	team.postrender = filepath.Join(programs.plugins, "cephferry", "bin", "postrender")
}

func TestTheBuildWithoutCephUsesImagesThatExist(t *testing.T) {
	eachHelm(t, func(team *team) {
		team.usePure()
		install := team.rendered("install", "web", web, migratable)
		team.refused(east, install, "--create client: this build of postrender has no Ceph library; "+
			"use --create cluster, the build that has it, or --create never for existing RBD images")
		team.unchanged(east, nothing())

		team.refused(east, append(append(install, class("ceph-filesystem")), arguments("--create=never")...),
			"--create never: the path of a CephFS subvolume, and the size of an adopted image, have to be read from Ceph, "+
				"and this build of postrender has no Ceph library; use --create cluster, or the build that has it")
		team.unchanged(east, nothing())

		team.rbd("create", lab.Pool+"/"+team.namespace+".web-files", "--size", "1G", "--image-feature", "layering,exclusive-lock")
		before := team.look(east)
		team.must(east, append(install, arguments("--create=never")...)...)
		team.bound(east, "web-files")
		if diff := cmp.Diff(before.Images, team.look(east).Images); diff != "" {
			team.Errorf("the image (-before +after):\n%s", diff)
		}
	})
}

// The renderer is a filter, too: with everything in flags and files it asks no
// Kubernetes.
func TestCephFlagsAndAClassFromAFileNeedNoKubernetes(t *testing.T) {
	t.Parallel()
	team := newTeam(t, 3)
	classes := team.write(filepath.Join(team.TempDir(), "class.yaml"), rbdClass{name: "ceph-block"}.manifest())
	filter := func(flags ...string) scene.Result {
		return scene.Command{Program: programs.postrender, Stdin: claim(), Env: map[string]string{"HOME": team.TempDir()}, Args: append(flags,
			"--create=client", "--namespace", team.namespace, "--ceph-conf", storage.ConfFile, "--ceph-id", storage.Provisioner.ID,
			"--ceph-keyring", storage.Provisioner.KeyringFile)}.Run(team.Context())
	}
	ran := filter("--storage-class", classes)
	if ran.Err != nil {
		team.Fatal(ran.Err, ran.Stderr)
	}
	name := team.namespace + ".data"
	if got, want := ran.Stderr, "postrender: created image "+lab.Pool+"/"+name+"\n"; got != want {
		team.Errorf("stderr %q, want %q", got, want)
	}
	if record := team.image(lab.Pool, name).Record; record == "" {
		team.Error("the image has no record")
	}
	team.applyHere(west, ran.Stdout)
	team.bound(west, "data")

	// In such a pool nothing but config.json says where the image belongs.
	pool := team.ownPool()
	team.rbd("namespace", "create", pool+"/blue")
	team.write(classes, rbdClass{name: "ceph-block", pool: pool}.manifest())
	ran = filter("--storage-class", classes)
	want := fmt.Sprintf(`pool %q has rados namespaces (blue), and only ceph-csi's config.json says which one belongs to clusterID "rook-ceph"; `+
		"leave --storage-class out, so that class and config.json are read from the Kubernetes cluster", pool)
	if ran.Code != 1 || ran.Stdout != "" || !strings.Contains(ran.Stderr, want) {
		team.Errorf("exit code %d, stdout %q, stderr:\n%s\nwant 1, nothing and:\n%s", ran.Code, ran.Stdout, ran.Stderr, want)
	}
	if images := team.images(pool); len(images) > 0 {
		team.Errorf("images in pool %s: %v", pool, images)
	}
}
