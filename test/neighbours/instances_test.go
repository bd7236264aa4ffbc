//go:build neighbours

package neighbours

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/cephferry/cephferry/test/lab"
	"github.com/cephferry/cephferry/test/scene"
)

// instances plays the instance managers of a Cluster pg: what CloudNativePG runs in the pods
// of instances. On each node it serves the status that the operator asks for, for the
// instance there, and an instance that is to be the primary becomes it.
func (db *database) instances(c *scene.Cluster) {
	db.Helper()
	for _, node := range c.Nodes {
		listener, err := listenOn(node, "8000")
		if err != nil {
			db.Fatal(err)
		}
		server := &http.Server{
			Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				status, err := db.instance(r.Context(), c, node)
				if err != nil {
					http.Error(w, err.Error(), http.StatusInternalServerError)
					return
				}
				w.Header().Set("Content-Type", "application/json")
				_ = json.NewEncoder(w).Encode(status) // the operator went away
			}),
			TLSConfig: &tls.Config{GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
				return db.certificate(hello.Context(), c)
			}},
		}
		ended := make(chan error, 1)
		go func() { ended <- server.ServeTLS(listener, "", "") }()
		db.Cleanup(func() {
			_ = server.Close()
			if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
				db.Error(err)
			}
		})
	}
}

// instance is the status of the instance on a node.
func (db *database) instance(ctx context.Context, c *scene.Cluster, node *lab.Node) (map[string]any, error) {
	pods, err := c.Client.CoreV1().Pods(db.Namespace).List(ctx, metav1.ListOptions{
		LabelSelector: "cnpg.io/podRole=instance", FieldSelector: "spec.nodeName=" + node.Name,
	})
	if err != nil {
		return nil, err
	}
	if len(pods.Items) != 1 {
		return nil, fmt.Errorf("node %s has %d instances", node.Name, len(pods.Items))
	}
	name := pods.Items[0].Name
	clusters := c.Dynamic.Resource(clusterResource).Namespace(db.Namespace)
	cluster, err := clusters.Get(ctx, "pg", metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	target, _, _ := unstructured.NestedString(cluster.Object, "status", "targetPrimary")
	current, _, _ := unstructured.NestedString(cluster.Object, "status", "currentPrimary")
	if target == name && current != name {
		if _, err := clusters.Patch(ctx, "pg", types.MergePatchType, fmt.Appendf(nil, `{"status":{"currentPrimary":%q}}`, name), metav1.PatchOptions{}, "status"); err != nil {
			return nil, err
		}
	}
	return map[string]any{
		"isPrimary": target == name, "isWalReceiverActive": target != name, "systemID": "7000000000000000001", "timeLineID": 1,
		"currentLsn": "0/3000000", "receivedLsn": "0/3000000", "replayLsn": "0/3000000",
		"executableHash": "none", "instanceManagerVersion": "none", "instanceArch": runtime.GOARCH, "sessionID": string(pods.Items[0].UID),
	}, nil
}

// certificate is the one that the operator has made for the instances.
func (db *database) certificate(ctx context.Context, c *scene.Cluster) (*tls.Certificate, error) {
	secret, err := c.Client.CoreV1().Secrets(db.Namespace).Get(ctx, "pg-server", metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(secret.Data[corev1.TLSCertKey], secret.Data[corev1.TLSPrivateKeyKey])
	return &pair, err
}

// listenOn listens in the network of a node, at its address.
func listenOn(node *lab.Node, port string) (net.Listener, error) {
	type result struct {
		net.Listener
		error
	}
	made := make(chan result)
	go func() {
		// The thread is not unlocked, so it ends with this goroutine, and nobody gets one that
		// is in another network.
		runtime.LockOSThread()
		namespace, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", node.Agent.PID))
		if err == nil {
			err = errors.Join(unix.Setns(int(namespace.Fd()), unix.CLONE_NEWNET), namespace.Close())
		}
		if err != nil {
			made <- result{nil, fmt.Errorf("enter the network of node %s: %w", node.Name, err)}
			return
		}
		listener, err := net.Listen("tcp", net.JoinHostPort(node.Address, port))
		made <- result{listener, err}
	}()
	r := <-made
	return r.Listener, r.error
}
