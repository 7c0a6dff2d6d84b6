// Command kube-apiserver is the Kubernetes API server, unchanged: the tests of
// the relay need its real resource versions, watch cache, RBAC and error texts,
// none of which an imitation would get right.
package main

import (
	"os"

	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register"
	"k8s.io/kubernetes/cmd/kube-apiserver/app"
)

func main() {
	os.Exit(cli.Run(app.NewAPIServerCommand()))
}
