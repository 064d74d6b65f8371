// A node of Calico for tests and benchmarks: its own IPAM library on an etcd, without the rest of it.
//
//	calico-ipam assign NODE CLIENTS SECONDS   as fast as it can; a JSON object says how many and how fast
//	calico-ipam live NODE COUNT               COUNT addresses, every third given back; a line for each kept
//	calico-ipam give NODE COUNT               the same, then all is given back and the node's blocks, too
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"sort"
	"strconv"
	"sync"
	"time"

	v3 "github.com/projectcalico/api/pkg/apis/projectcalico/v3"

	"github.com/projectcalico/calico/libcalico-go/lib/clientv3"
	"github.com/projectcalico/calico/libcalico-go/lib/ipam"
	"github.com/sirupsen/logrus"
)

func main() {
	logrus.SetLevel(logrus.PanicLevel)
	client, err := clientv3.NewFromEnv()
	must(err)
	node, ctx := os.Args[2], context.Background()
	switch os.Args[1] {
	case "assign":
		assign(ctx, client.IPAM(), node, number(3), time.Duration(number(4))*time.Second)
	case "live":
		for handle, address := range live(ctx, client.IPAM(), "calico."+os.Args[1]+"."+node, node, number(3)) {
			fmt.Println(handle, address)
		}
	case "give":
		for handle := range live(ctx, client.IPAM(), "calico."+os.Args[1]+"."+node, node, number(3)) {
			must(client.IPAM().ReleaseByHandle(ctx, handle))
		}
		must(client.IPAM().ReleaseHostAffinities(ctx, ipam.AffinityConfig{
			AffinityType: ipam.AffinityTypeHost, Host: node}, false))
	default:
		log.Fatalf("unknown: %s", os.Args[1])
	}
}

func live(ctx context.Context, pool ipam.Interface, prefix, node string, count int) map[string]string {
	kept := map[string]string{}
	for i := range count {
		handle := fmt.Sprintf("%s-%d", prefix, i)
		address, err := one(ctx, pool, node, handle)
		must(err)
		if i%3 == 2 {
			must(pool.ReleaseByHandle(ctx, handle))
		} else {
			kept[handle] = address
		}
	}
	return kept
}

func assign(ctx context.Context, pool ipam.Interface, node string, clients int, length time.Duration) {
	var all []float64
	var guard sync.Mutex
	var group sync.WaitGroup
	began := time.Now()
	for c := range clients {
		group.Add(1)
		go func() {
			defer group.Done()
			var took []float64
			for i := 0; time.Since(began) < length; i++ {
				at := time.Now()
				_, err := one(ctx, pool, node, fmt.Sprintf("calico.%s-%d-%d", node, c, i))
				must(err)
				took = append(took, float64(time.Since(at).Microseconds())/1000)
			}
			guard.Lock()
			defer guard.Unlock()
			all = append(all, took...)
		}()
	}
	group.Wait()
	sort.Float64s(all)
	said := map[string]any{"assigned": len(all), "p99": all[len(all)*99/100], "seconds": time.Since(began).Seconds()}
	must(json.NewEncoder(os.Stdout).Encode(said))
}

func one(ctx context.Context, pool ipam.Interface, node, handle string) (string, error) {
	found, _, err := pool.AutoAssign(ctx, ipam.AutoAssignArgs{
		Num4:        1,
		HandleID:    &handle,
		Hostname:    node,
		IntendedUse: v3.IPPoolAllowedUseWorkload,
		Attrs:       map[string]string{"node": node},
	})
	if err != nil {
		return "", err
	}
	if len(found.IPs) != 1 {
		return "", fmt.Errorf("no address: %v", found.Msgs)
	}
	return found.IPs[0].IP.String(), nil
}

func number(place int) int {
	found, err := strconv.Atoi(os.Args[place])
	must(err)
	return found
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
