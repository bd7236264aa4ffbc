//go:build linux

package lab

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const clusterReady = time.Minute

// Cluster is a running Kubernetes control plane: etcd, kube-apiserver and
// kube-controller-manager; with nodes also kube-scheduler and what stands in for
// ceph-csi's external-attacher.
type Cluster struct {
	Name string
	// Kubeconfig is the path of a file whose only context, named after the
	// cluster, is a cluster administrator.
	Kubeconfig string
	// Rook are the names that [Cluster.AddRook] gave.
	Rook Rook

	Etcd, APIServer, ControllerManager *Process

	// Scheduler, Attacher and Nodes are nil in a cluster without nodes.
	Scheduler, Attacher *Process
	Nodes               []*Node

	*servers
	kubectl string
	ca      *authority
	api     *api
}

// StartCluster starts a control plane and returns when it serves requests and its
// controllers run. On an error nothing is left running.
func StartCluster(ctx context.Context, name string, options Options) (_ *Cluster, err error) {
	etcd, err := findInstalled("etcd", "etcd-server")
	if err != nil {
		return nil, err
	}
	apiServer, err := options.Tools.Find("kube-apiserver")
	if err != nil {
		return nil, err
	}
	controllerManager, err := options.Tools.Find("kube-controller-manager")
	if err != nil {
		return nil, err
	}
	c := &Cluster{Name: name}
	if c.kubectl, err = options.Tools.Find("kubectl"); err != nil {
		return nil, err
	}
	if c.servers, err = newServers(options); err != nil {
		return nil, err
	}
	ports, err := reservePorts(4)
	if err != nil {
		return nil, err
	}
	defer ports.release()
	defer func() {
		if err != nil {
			_ = c.Stop()
		}
	}()

	etcdURL, peerURL := "http://"+loopback(ports.numbers[0]), "http://"+loopback(ports.numbers[1])
	apiPort, managerPort := ports.numbers[2], ports.numbers[3]
	c.api = &api{url: "https://" + join(options.listen(), apiPort), resources: map[string][]metav1.APIResource{}}
	if c.api.client, err = c.writeFiles(options.listen()); err != nil {
		return nil, err
	}

	if c.Etcd, err = c.start("etcd", etcd,
		"--data-dir="+c.file("etcd"),
		"--listen-client-urls="+etcdURL, "--advertise-client-urls="+etcdURL,
		"--listen-peer-urls="+peerURL,
		"--initial-advertise-peer-urls="+peerURL, "--initial-cluster=default="+peerURL,
		// A member without peers still waits out an election, 1 s by default. It counts heartbeats
		// all its life: with one every 20 ms, that is two thirds of what an idle member works.
		"--heartbeat-interval=100", "--election-timeout=500",
		"--logger=zap", "--log-outputs=stderr", "--log-level=warn",
		// What is written survives the server, and need not survive the machine.
		"--unsafe-no-fsync",
	); err != nil {
		return nil, err
	}
	if err := c.Etcd.await(ctx, clusterReady, get(http.DefaultClient, etcdURL+"/health")); err != nil {
		return nil, err
	}

	if c.APIServer, err = c.start("kube-apiserver", apiServer,
		"--etcd-servers="+etcdURL,
		"--bind-address="+options.listen(), fmt.Sprint("--secure-port=", apiPort),
		// No endpoint may be a loopback address, and on a machine without a
		// network the server would look for another one and give up. So it is
		// given an address for documentation (RFC 5737) and publishes none.
		"--advertise-address=192.0.2.1", "--endpoint-reconciler-type=none",
		"--tls-cert-file="+c.file("server.crt"), "--tls-private-key-file="+c.file("server.key"),
		"--client-ca-file="+c.file("ca.crt"),
		"--authorization-mode=RBAC", "--allow-privileged=true",
		"--service-cluster-ip-range=10.96.0.0/16",
		"--service-account-issuer=https://kubernetes.default.svc.cluster.local",
		"--service-account-key-file="+c.file("sa.key"), "--service-account-signing-key-file="+c.file("sa.key"),
	); err != nil {
		return nil, err
	}
	if err := c.APIServer.await(ctx, clusterReady, c.api.get("/readyz")); err != nil {
		return nil, err
	}

	if c.ControllerManager, err = c.start("kube-controller-manager", controllerManager,
		"--kubeconfig="+c.file("kube-controller-manager.kubeconfig"),
		"--bind-address=127.0.0.1", fmt.Sprint("--secure-port=", managerPort),
		"--tls-cert-file="+c.file("server.crt"), "--tls-private-key-file="+c.file("server.key"),
		// As on real clusters, every controller is a user of its own.
		"--use-service-account-credentials=true",
		"--service-account-private-key-file="+c.file("sa.key"), "--root-ca-file="+c.file("ca.crt"),
		"--leader-elect=false",
		// At the default of 20 requests per second it takes 4 s to start.
		"--kube-api-qps=1000", "--kube-api-burst=1000",
		// What the binder did not see or was refused, it tries again after 15 s by default.
		"--pvclaimbinder-sync-period=3s",
	); err != nil {
		return nil, err
	}
	for _, check := range []func(context.Context) error{
		get(c.api.client, "https://"+loopback(managerPort)+"/healthz"),
		// The first thing that controllers make.
		c.api.get("/api/v1/namespaces/default/serviceaccounts/default"),
	} {
		if err := c.ControllerManager.await(ctx, clusterReady, check); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// Run runs `kubectl <args>` as cluster administrator and returns its stdout.
func (c *Cluster) Run(ctx context.Context, args ...string) ([]byte, error) {
	return run(ctx, "", c.kubectl, append([]string{"--kubeconfig", c.Kubeconfig, "--cache-dir", c.file("kubectl-cache")}, args...)...)
}

// Apply applies manifests as `kubectl apply --server-side` does, without starting it.
func (c *Cluster) Apply(ctx context.Context, manifests string) error {
	return c.ApplyIn(ctx, metav1.NamespaceDefault, manifests)
}

// ApplyIn is Apply in a namespace, for objects that name none.
func (c *Cluster) ApplyIn(ctx context.Context, namespace, manifests string) error {
	return c.api.apply(ctx, namespace, manifests)
}

// file is the path of a file in the cluster's folder.
func (c *Cluster) file(name string) string { return filepath.Join(c.dir, name) }

// writeFiles writes certificates, keys and kubeconfigs, and returns an HTTP
// client that is a cluster administrator.
func (c *Cluster) writeFiles(host string) (*http.Client, error) {
	ca, err := newAuthority(c.Name)
	if err != nil {
		return nil, err
	}
	c.ca = ca
	server, err := ca.issueServer(host)
	if err != nil {
		return nil, err
	}
	signingKey, err := newSigningKey()
	if err != nil {
		return nil, err
	}
	for name, data := range map[string][]byte{
		"ca.crt":     ca.PEM,
		"server.crt": server.certificate,
		"server.key": server.key,
		"sa.key":     signingKey,
	} {
		if err := os.WriteFile(c.file(name), data, 0o600); err != nil {
			return nil, err
		}
	}

	admin, err := ca.issueClient(c.Name+"-admin", "system:masters")
	if err != nil {
		return nil, err
	}
	c.Kubeconfig = c.file(c.Name + ".kubeconfig")
	if err := c.writeKubeconfig(c.Kubeconfig, admin, c.Name+"-admin"); err != nil {
		return nil, err
	}
	if err := c.writeUser("kube-controller-manager", "system:kube-controller-manager"); err != nil {
		return nil, err
	}

	identity, err := tls.X509KeyPair(admin.certificate, admin.key)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AddCert(ca.certificate)
	return &http.Client{Transport: &http.Transport{
		TLSClientConfig:   &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{identity}},
		DisableKeepAlives: true,
	}}, nil
}

// writeUser writes the file <name>.kubeconfig of a user in groups.
func (c *Cluster) writeUser(name, user string, groups ...string) error {
	client, err := c.ca.issueClient(user, groups...)
	if err != nil {
		return err
	}
	return c.writeKubeconfig(c.file(name+".kubeconfig"), client, user)
}

func (c *Cluster) writeKubeconfig(path string, client keyPair, user string) error {
	content, err := render("kubeconfig.tmpl", map[string]any{
		"Cluster": c.Name, "User": user, "URL": c.api.url,
		"CA": c.ca.PEM, "Certificate": client.certificate, "Key": client.key,
	})
	if err != nil {
		return err
	}
	return os.WriteFile(path, []byte(content), 0o600)
}
