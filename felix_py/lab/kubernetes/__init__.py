"""A real Kubernetes on the lab's machines: control plane, kubelets, containerd, kube-proxy, CoreDNS."""
