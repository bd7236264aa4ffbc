package provisioner

import (
	"fmt"
	"path"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/cephferry/cephferry/pkg/annotations"
)

// Images is the annotation on a Namespace with the images that it may use besides
// its own: names and patterns of path.Match, separated by commas. Who may use a
// namespace cannot change the Namespace object.
const Images = annotations.Prefix + "images"

// Granted reports whether claims of the namespace may have the image.
func Granted(namespace *corev1.Namespace, image string) bool {
	may, _ := mayUse(namespace, image)
	return may
}

// mayUse reports whether claims of the namespace may have the image: one whose name
// begins with "<namespace>.", or one that is granted. A namespace has no dot, so no
// other namespace's images begin like that.
//
// A pattern that cannot be read grants nothing, and is an error when nothing else
// grants the image.
func mayUse(namespace *corev1.Namespace, image string) (bool, error) {
	if strings.HasPrefix(image, namespace.Name+".") {
		return true, nil
	}
	var unread error
	for grant := range strings.SplitSeq(namespace.Annotations[Images], ",") {
		if grant = strings.TrimSpace(grant); grant == "" {
			continue
		}
		granted, err := path.Match(grant, image)
		if err != nil {
			unread = fmt.Errorf("namespace %s: metadata.annotations[%s]: %q: %w", namespace.Name, Images, grant, err)
		} else if granted {
			return true, nil
		}
	}
	return false, unread
}
