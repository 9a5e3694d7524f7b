// The record/control sample: sends one recording command through the official Go SDK.
//
// CLOUD_SDK_AK, CLOUD_SDK_SK  access key of a user of the server
// CLOUD_SDK_PROJECT_ID        its project
// LIVE_ENDPOINT               for example http://127.0.0.1:8280
// LIVE_ACTION                 START or STOP
// LIVE_PUBLISH_DOMAIN, LIVE_APP, LIVE_STREAM  the stream
package main

import (
	"fmt"
	"os"

	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/auth/basic"
	live "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/live/v1"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/services/live/v1/model"
)

func main() {
	auth, err := basic.NewCredentialsBuilder().
		WithAk(os.Getenv("CLOUD_SDK_AK")).
		WithSk(os.Getenv("CLOUD_SDK_SK")).
		WithProjectId(os.Getenv("CLOUD_SDK_PROJECT_ID")).
		SafeBuild()
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}

	httpClient, err := live.LiveClientBuilder().
		WithEndpoints([]string{os.Getenv("LIVE_ENDPOINT")}).
		WithCredential(auth).
		SafeBuild()
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	client := live.NewLiveClient(httpClient)

	actions := model.GetRunRecordRequestActionEnum()
	action := actions.START
	if os.Getenv("LIVE_ACTION") == "STOP" {
		action = actions.STOP
	}
	request := &model.RunRecordRequest{
		Action: action,
		Body: &model.RecordControlInfo{
			PublishDomain: os.Getenv("LIVE_PUBLISH_DOMAIN"),
			App:           os.Getenv("LIVE_APP"),
			Stream:        os.Getenv("LIVE_STREAM"),
		},
	}
	response, err := client.RunRecord(request)
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Printf("%+v\n", response)
}
