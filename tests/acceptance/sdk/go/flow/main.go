// The central flow through the official Go SDK: template, callback configuration, START, STOP, contents, templates.
// The stream is being pushed already. Prints one JSON object with the answers as the SDK read them.
//
// CLOUD_SDK_AK, CLOUD_SDK_SK, CLOUD_SDK_PROJECT_ID  access key of a user of the server, and its project
// LIVE_ENDPOINT                                     for example http://127.0.0.1:8280
// LIVE_PUBLISH_DOMAIN, LIVE_APP, LIVE_STREAM        the stream
// LIVE_CALLBACK_URL, LIVE_CALLBACK_KEY              where callbacks go, and their key
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/auth/basic"
	live "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/live/v1"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/services/live/v1/model"
)

const (
	recorded = 4 * time.Second
	patience = 90 * time.Second
	formats  = 2
)

func check(err error) {
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

func pointer[T any](value T) *T { return &value }

func newClient() *live.LiveClient {
	auth, err := basic.NewCredentialsBuilder().
		WithAk(os.Getenv("CLOUD_SDK_AK")).
		WithSk(os.Getenv("CLOUD_SDK_SK")).
		WithProjectId(os.Getenv("CLOUD_SDK_PROJECT_ID")).
		SafeBuild()
	check(err)
	client, err := live.LiveClientBuilder().
		WithEndpoints([]string{os.Getenv("LIVE_ENDPOINT")}).
		WithCredential(auth).
		SafeBuild()
	check(err)
	return live.NewLiveClient(client)
}

func main() {
	domain, app, stream := os.Getenv("LIVE_PUBLISH_DOMAIN"), os.Getenv("LIVE_APP"), os.Getenv("LIVE_STREAM")
	client, began := newClient(), time.Now().UTC()

	template, err := client.CreateRecordRule(&model.CreateRecordRuleRequest{Body: &model.RecordRuleRequest{
		PublishDomain: domain,
		App:           app,
		Stream:        stream,
		RecordType:    pointer(model.GetRecordRuleRequestRecordTypeEnum().COMMAND_RECORD),
		DefaultRecordConfig: &model.DefaultRecordConfig{
			RecordFormat: []model.VideoFormatVar{model.GetVideoFormatVarEnum().HLS, model.GetVideoFormatVarEnum().MP4},
			ObsAddr:      &model.RecordObsFileAddr{Bucket: "rec-a", Location: model.GetRecordObsFileAddrLocationEnum().CN_NORTH_4, Object: "archive/"},
			HlsConfig:    &model.HlsRecordConfig{RecordCycle: 3600, RecordSliceDuration: pointer(int32(2))},
			Mp4Config:    &model.Mp4RecordConfig{RecordCycle: 7200},
		},
	}})
	check(err)

	events := model.GetRecordCallbackConfigRequestNotifyEventSubscriptionEnum()
	callbacks, err := client.CreateRecordCallbackConfig(&model.CreateRecordCallbackConfigRequest{
		Body: &model.RecordCallbackConfigRequest{
			PublishDomain:     domain,
			App:               "*",
			NotifyCallbackUrl: pointer(os.Getenv("LIVE_CALLBACK_URL")),
			NotifyEventSubscription: &[]model.RecordCallbackConfigRequestNotifyEventSubscription{
				events.RECORD_NEW_FILE_START, events.RECORD_FILE_COMPLETE, events.RECORD_OVER, events.RECORD_FAILED,
			},
			SignType: pointer(model.GetRecordCallbackConfigRequestSignTypeEnum().HMACSHA256),
			Key:      pointer(os.Getenv("LIVE_CALLBACK_KEY")),
		},
	})
	check(err)

	names := &model.RecordControlInfo{PublishDomain: domain, App: app, Stream: stream}
	actions := model.GetRunRecordRequestActionEnum()
	start, err := client.RunRecord(&model.RunRecordRequest{Action: actions.START, Body: names})
	check(err)
	time.Sleep(recorded)
	stop, err := client.RunRecord(&model.RunRecordRequest{Action: actions.STOP, Body: names})
	check(err)

	var contents *model.ListRecordContentsResponse
	for deadline := time.Now().Add(patience); ; time.Sleep(200 * time.Millisecond) {
		contents, err = client.ListRecordContents(&model.ListRecordContentsRequest{
			PublishDomain: &domain,
			App:           &app,
			Stream:        &stream,
			StartTime:     began.Add(-time.Minute).Format("2006-01-02T15:04:05Z"),
			Limit:         pointer(int32(100)),
		})
		check(err)
		if *contents.Total >= formats || time.Now().After(deadline) {
			break
		}
	}
	templates, err := client.ListRecordRules(&model.ListRecordRulesRequest{PublishDomain: &domain})
	check(err)

	check(json.NewEncoder(os.Stdout).Encode(map[string]any{
		"template":  template,
		"callbacks": callbacks,
		"start":     start,
		"stop":      stop,
		"contents":  contents,
		"templates": templates,
	}))
}
