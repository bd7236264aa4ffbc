package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	apiversion "k8s.io/apimachinery/pkg/version"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/cephferry/cephferry/pkg/doctor"
	"github.com/cephferry/cephferry/pkg/storageclass"
	"github.com/cephferry/cephferry/pkg/version"
)

// programLimit bounds one program that the doctor runs.
const programLimit = 20 * time.Second

// examine runs the checks that the flags ask for, prints them and reports whether
// all is well.
func examine(ctx context.Context, o options, sys system) (healthy bool, err error) {
	self := doctor.Self{Version: version.String()}
	if self.Path, err = os.Executable(); err != nil {
		return false, fmt.Errorf("find this program: %w", err)
	}
	findings := doctor.Helm(ctx, machine{}, self)
	findings = append(findings, examineCluster(ctx, o, sys, self)...)
	return doctor.Healthy(findings), doctor.Write(sys.stdout, findings)
}

// examineCluster makes the checks that need the API server, and stops where one is
// the reason why the next would fail.
func examineCluster(ctx context.Context, o options, sys system, self doctor.Self) []doctor.Finding {
	helm := helmCall{options: o, getenv: sys.getenv}
	server, client, url, err := connectDoctor(ctx, &helm)
	if err != nil {
		return []doctor.Finding{{State: doctor.Problem, Check: "cluster", Says: err.Error(), Do: "export KUBECONFIG=FILE, or pass --kubeconfig and --kube-context"}}
	}
	findings := []doctor.Finding{doctor.Cluster(ctx, server.version, url)}
	if !doctor.Healthy(findings) {
		return append(findings, doctor.Skip("rights", "the cluster does not answer"))
	}
	findings = append(findings, doctor.Installation(ctx, client, self))

	namespace, err := doctorNamespace(ctx, &helm)
	if err != nil {
		return append(findings, doctor.Finding{State: doctor.Problem, Check: "rights", Says: err.Error(), Do: "pass --namespace NAME"})
	}
	rights := doctor.ReleaseRights()
	if o.create != createCluster {
		rights = append(rights, doctor.PairRights())
	}
	findings = append(findings, doctor.Rights(ctx, client, namespace, rights)...)
	findings = append(findings, doctor.Volumes(ctx, client, namespace)...)
	images := imageMaker{options: o, helm: &helm}
	defer images.close()
	if o.create == createCluster {
		// Who may not look at classes and configuration has nothing to do with either.
		if classes, finding := doctor.Classes(ctx, helm.classes); finding.State == doctor.OK {
			findings = append(findings, problems(examineMounts(ctx, &images, classes))...)
		}
		return append(findings,
			doctor.Skip("class", "with --create cluster, the cluster reads it"),
			doctor.Skip("ceph", "with --create cluster, only the cluster contacts Ceph"))
	}
	classes, finding := doctor.Classes(ctx, helm.classes)
	findings = append(findings, finding)
	findings = append(findings, examineMounts(ctx, &images, classes)...)
	if o.create == createNever {
		return append(findings, doctor.Skip("ceph", "with --create never, postrender does not contact Ceph"))
	}
	for _, class := range classes {
		findings = append(findings, doctor.Ceph(ctx, images.connect, class))
		if class.RBD != nil {
			findings = append(findings, doctor.Nodes(ctx, images.connectNodes, class))
		}
	}
	return findings
}

// examineMounts looks at how nodes mount the volumes of CephFS classes. A class whose configuration
// cannot be read is another check's.
func examineMounts(ctx context.Context, images *imageMaker, classes []storageclass.Class) []doctor.Finding {
	reader, err := images.reader(ctx)
	if err != nil {
		return nil
	}
	var findings []doctor.Finding
	for _, class := range classes {
		entry, err := entryOf(ctx, reader, class)
		if err != nil {
			continue
		}
		if finding, looked := doctor.Mount(class, entry); looked {
			findings = append(findings, finding)
		}
	}
	return findings
}

func problems(findings []doctor.Finding) []doctor.Finding {
	return slices.DeleteFunc(findings, func(f doctor.Finding) bool { return f.State != doctor.Problem })
}

func connectDoctor(ctx context.Context, helm *helmCall) (server apiServer, client dynamic.Interface, url string, err error) {
	config, err := helm.restConfig(ctx)
	if err != nil {
		return server, nil, "", err
	}
	config.QPS = -1 // the default makes the questions about rights wait, and says so on stderr
	if server.client, err = rest.UnversionedRESTClientFor(dynamic.ConfigFor(config)); err != nil {
		return server, nil, "", err
	}
	client, err = dynamic.NewForConfig(config)
	return server, client, config.Host, err
}

// apiServer asks the API server itself. client-go's package discovery does that too, and
// brings along the types of all API groups, which took a third of the time in which this
// program starts.
type apiServer struct{ client rest.Interface }

func (s apiServer) version(ctx context.Context) (string, error) {
	answer, err := s.client.Get().AbsPath("/version").Do(ctx).Raw()
	if err != nil {
		return "", err
	}
	var info apiversion.Info
	if err := json.Unmarshal(answer, &info); err != nil {
		return "", fmt.Errorf("read the version of the API server: %w", err)
	}
	return info.GitVersion, nil
}

// doctorNamespace is the release's namespace as helm would decide it: there is no
// calling helm to look at.
func doctorNamespace(ctx context.Context, helm *helmCall) (string, error) {
	if given := cmp.Or(helm.options.namespace, helm.getenv("HELM_NAMESPACE")); given != "" {
		return given, nil
	}
	config, err := helm.clientConfig(ctx)
	if err != nil {
		return "", err
	}
	namespace, _, err := config.Namespace()
	return namespace, err
}

// machine is this machine.
type machine struct{}

func (machine) LookPath(name string) (string, error) {
	path, err := exec.LookPath(name)
	if err != nil {
		return "", err
	}
	return filepath.Abs(path)
}

func (machine) Run(ctx context.Context, program string, args ...string) (stdout, stderr string, err error) {
	ctx, cancel := context.WithTimeout(ctx, programLimit)
	defer cancel()
	command := exec.CommandContext(ctx, program, args...)
	command.WaitDelay = time.Second
	var out, said bytes.Buffer
	command.Stdout, command.Stderr = &out, &said
	err = command.Run()
	if err != nil && said.Len() > 0 {
		err = fmt.Errorf("%w: %s", err, bytes.TrimSpace(said.Bytes()))
	}
	return out.String(), said.String(), err
}
