//go:build lab

package e2e

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cephferry/cephferry/test/lab"
	"github.com/cephferry/cephferry/test/scene"
)

func TestDoctorOfAnAdministrator(t *testing.T) {
	eachHelm(t, func(team *team) {
		before := team.objectsInCeph()
		got := team.doctor(1, "--create=client", "--kubeconfig", east.Kubeconfig, "--namespace", team.namespace)
		want := team.helmFindings() + fmt.Sprintf(`ok cluster Kubernetes V, URL
problem cephferry it is not installed in this cluster: nobody makes volumes, and nothing keeps two clusters off one image
do this helm install cephferry charts/cephferry --namespace cephferry-system --create-namespace --set cluster.name=NAME
ok rights enough for persistentvolumeclaims, statefulsets, secrets, persistentvolumes, in namespace %s
`, team.namespace)
		rest, ok := strings.CutPrefix(got, want)
		if !ok {
			team.Errorf("-want +got:\n%s", cmp.Diff(want, got))
		}
		// Other tests make and remove classes meanwhile.
		for _, line := range []string{`(?m)^ok class .*\bceph-block\b`, `(?m)^ok ceph class ceph-block: pool ` + lab.Pool + ` answers, and the key may write$`} {
			if !regexp.MustCompile(line).MatchString(rest) {
				team.Errorf("%s is not in:\n%s", line, rest)
			}
		}
		if diff := cmp.Diff(before, team.objectsInCeph()); diff != "" {
			team.Errorf("the doctor left something in Ceph (-before +after):\n%s", diff)
		}
	})
}

func TestDoctorOfATenant(t *testing.T) {
	t.Parallel()
	team := newTeam(t, 3)
	tenant := team.tenant(east)
	got := team.doctor(0, "--kubeconfig", tenant, "--namespace", team.namespace)
	want := team.helmFindings() + fmt.Sprintf(`ok cluster Kubernetes V, URL
skipped cephferry you have no right to see whether it is installed (list validatingwebhookconfigurations); the platform team has
ok rights enough for persistentvolumeclaims, statefulsets, secrets, in namespace %s
skipped volumes you have no right to look at them (list persistentvolumes); the platform team has
skipped class with --create cluster, the cluster reads it
skipped ceph with --create cluster, only the cluster contacts Ceph
`, team.namespace)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}

	// Pairs need a right that tenants rarely have, and classes from somewhere.
	got = team.doctor(1, "--create=never", "--kubeconfig", tenant, "--namespace", team.namespace)
	user := "system:serviceaccount:" + team.namespace + ":tenant"
	for _, line := range []string{
		"problem rights " + user + " may not get, create, patch, delete persistentvolumes\ndo this kubectl create clusterrole helm-persistentvolumes ",
		"problem class list the cluster's StorageClasses: ",
		"skipped ceph with --create never, postrender does not contact Ceph\n",
	} {
		if !strings.Contains(got, line) {
			t.Errorf("%q is not in:\n%s", line, got)
		}
	}
}

func TestDoctorOfAKeyThatMayOnlyLook(t *testing.T) {
	t.Parallel()
	team := newTeam(t, 3)
	observer, err := storage.CreateUser(t.Context(), team.namespace, "mon", "allow r", "osd", "profile rbd-read-only pool="+lab.Pool)
	if err != nil {
		t.Fatal(err)
	}
	class := team.write(team.TempDir()+"/class.yaml", rbdClass{name: "ceph-block"}.manifest())
	got := team.doctor(1, "--create=client", "--kubeconfig", east.Kubeconfig, "--namespace", team.namespace, "--storage-class", class,
		"--ceph-conf", storage.ConfFile, "--ceph-id", observer.ID, "--ceph-keyring", observer.KeyringFile)
	for _, want := range []string{
		"problem ceph class ceph-block: write record of image \"" + lab.Pool + "/cephferry-doctor-probe\": the ceph user lacks a capability",
		"do this compare `ceph auth get client.<user>` with docs/security.md\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in:\n%s", want, got)
		}
	}
}

// The commands that the doctor names are run as they stand, and mend.
func TestDoctorsAdviceMends(t *testing.T) {
	t.Parallel()
	team := newTeam(t, 3)
	tenant := team.tenant(west, "--clusterrole=view")
	mine := []string{"--kubeconfig", tenant, "--namespace", team.namespace}
	got := team.doctor(1, mine...)
	command := regexp.MustCompile(`(?m)^do this kubectl (create rolebinding .*)$`).FindStringSubmatch(got)
	if command == nil {
		t.Fatalf("no command in:\n%s", got)
	}
	if _, err := west.Run(t.Context(), strings.Fields(command[1])...); err != nil {
		t.Fatal(err)
	}
	team.doctor(0, mine...)
}

// helmFindings is what the doctor says of the team's Helm.
func (team *team) helmFindings() string {
	if team.helm == 4 {
		return "ok helm Helm V, PATH/helm\nok plugin cephferry in PLUGINS, for helm --post-renderer cephferry\n"
	}
	return "ok helm Helm V, PATH/helm\nok renderer PATH/postrender, for helm --post-renderer postrender\n"
}

// doctor runs postrender doctor with the team's helm and postrender in PATH, and
// returns its findings with single spaces, and without what differs between
// machines.
func (team *team) doctor(code int, args ...string) string {
	team.Helper()
	bin := team.programs()
	env := map[string]string{"PATH": bin + ":/usr/bin:/bin", "HOME": team.TempDir()}
	if team.helm == 4 {
		env["HELM_PLUGINS"] = team.plugins
	}
	ran := scene.Command{Program: bin + "/postrender", Args: append([]string{"doctor"}, args...), Env: env}.Run(team.Context())
	if ran.Code != code || ran.Stderr != "" {
		team.Errorf("postrender doctor %s: exit code %d, want %d\n%s%s", strings.Join(args, " "), ran.Code, code, ran.Stdout, ran.Stderr)
	}
	out := regexp.MustCompile(`(?m)^ +| {2,}`).ReplaceAllStringFunc(ran.Stdout, func(spaces string) string { return " " })
	out = regexp.MustCompile(`(?m)^ `).ReplaceAllString(out, "")
	out = regexp.MustCompile(`\bv\d+\.\d+\.\d+\b`).ReplaceAllString(out, "V")
	out = regexp.MustCompile(`https://[^/\s]+:\d+`).ReplaceAllString(out, "URL")
	return strings.NewReplacer(bin, "PATH", team.plugins, "PLUGINS").Replace(out)
}

// objectsInCeph are the RADOS objects of the pool that the doctor could make.
func (team *team) objectsInCeph() string {
	team.Helper()
	ran := scene.Command{Program: "/usr/bin/rados", Args: []string{"-c", storage.ConfFile, "-p", lab.Pool, "ls"}}.Run(team.Context())
	if ran.Err != nil {
		team.Fatal(ran.Err, ran.Stderr)
	}
	var found []string
	for line := range strings.Lines(ran.Stdout) {
		if strings.Contains(line, "doctor") {
			found = append(found, line)
		}
	}
	return strings.Join(found, "")
}
