import com.huaweicloud.sdk.core.auth.BasicCredentials;
import com.huaweicloud.sdk.core.auth.ICredential;
import com.huaweicloud.sdk.core.exception.ServiceResponseException;
import com.huaweicloud.sdk.core.utils.JsonUtils;
import com.huaweicloud.sdk.live.v1.LiveClient;
import com.huaweicloud.sdk.live.v1.model.CreateRecordCallbackConfigRequest;
import com.huaweicloud.sdk.live.v1.model.CreateRecordRuleRequest;
import com.huaweicloud.sdk.live.v1.model.DefaultRecordConfig;
import com.huaweicloud.sdk.live.v1.model.HLSRecordConfig;
import com.huaweicloud.sdk.live.v1.model.ListRecordContentsRequest;
import com.huaweicloud.sdk.live.v1.model.ListRecordContentsResponse;
import com.huaweicloud.sdk.live.v1.model.ListRecordRulesRequest;
import com.huaweicloud.sdk.live.v1.model.MP4RecordConfig;
import com.huaweicloud.sdk.live.v1.model.RecordCallbackConfigRequest;
import com.huaweicloud.sdk.live.v1.model.RecordControlInfo;
import com.huaweicloud.sdk.live.v1.model.RecordObsFileAddr;
import com.huaweicloud.sdk.live.v1.model.RecordRuleRequest;
import com.huaweicloud.sdk.live.v1.model.RunRecordRequest;
import com.huaweicloud.sdk.live.v1.model.VideoFormatVar;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * The central flow through the official Java SDK: template, callback configuration, START, STOP, contents, templates.
 * The stream is being pushed already. Prints one JSON object with the answers as the SDK read them.
 *
 * <p>CLOUD_SDK_AK, CLOUD_SDK_SK and CLOUD_SDK_PROJECT_ID: access key of a user of the server and its project.
 * LIVE_ENDPOINT: for example http://127.0.0.1:8280. LIVE_PUBLISH_DOMAIN, LIVE_APP, LIVE_STREAM: the stream.
 * LIVE_CALLBACK_URL, LIVE_CALLBACK_KEY: where callbacks go, and their key.
 */
public class CentralFlow {

    private static final long RECORDED_MS = 4000;
    private static final long PATIENCE_MS = 90000;
    private static final int FORMATS = 2;

    private static final String DOMAIN = System.getenv("LIVE_PUBLISH_DOMAIN");
    private static final String APP = System.getenv("LIVE_APP");
    private static final String STREAM = System.getenv("LIVE_STREAM");

    public static void main(String[] args) throws InterruptedException {
        try {
            System.out.println(JsonUtils.toJSON(flow()));
        } catch (ServiceResponseException e) {
            System.out.println(e.getHttpStatusCode() + " " + e.getErrorCode() + " " + e.getErrorMsg());
            System.exit(1);
        }
    }

    private static Map<String, Object> flow() throws InterruptedException {
        ICredential auth =
                new BasicCredentials()
                        .withAk(System.getenv("CLOUD_SDK_AK"))
                        .withSk(System.getenv("CLOUD_SDK_SK"))
                        .withProjectId(System.getenv("CLOUD_SDK_PROJECT_ID"));
        LiveClient client =
                LiveClient.newBuilder().withCredential(auth).withEndpoint(System.getenv("LIVE_ENDPOINT")).build();
        Instant began = Instant.now().truncatedTo(ChronoUnit.SECONDS);
        Map<String, Object> answers = new LinkedHashMap<>();

        answers.put("template", client.createRecordRule(new CreateRecordRuleRequest().withBody(template())));
        answers.put(
                "callbacks",
                client.createRecordCallbackConfig(new CreateRecordCallbackConfigRequest().withBody(callbacks())));
        answers.put("start", client.runRecord(command(RunRecordRequest.ActionEnum.START)));
        Thread.sleep(RECORDED_MS);
        answers.put("stop", client.runRecord(command(RunRecordRequest.ActionEnum.STOP)));

        ListRecordContentsRequest wanted =
                new ListRecordContentsRequest()
                        .withPublishDomain(DOMAIN)
                        .withApp(APP)
                        .withStream(STREAM)
                        .withStartTime(began.minusSeconds(60).toString())
                        .withLimit(100);
        long deadline = System.currentTimeMillis() + PATIENCE_MS;
        ListRecordContentsResponse contents = client.listRecordContents(wanted);
        while (contents.getTotal() < FORMATS && System.currentTimeMillis() < deadline) {
            Thread.sleep(200);
            contents = client.listRecordContents(wanted);
        }
        answers.put("contents", contents);
        answers.put(
                "templates", client.listRecordRules(new ListRecordRulesRequest().withPublishDomain(DOMAIN)));
        return answers;
    }

    private static RecordRuleRequest template() {
        DefaultRecordConfig config =
                new DefaultRecordConfig()
                        .withRecordFormat(Arrays.asList(VideoFormatVar.HLS, VideoFormatVar.MP4))
                        .withObsAddr(
                                new RecordObsFileAddr()
                                        .withBucket("rec-a")
                                        .withLocation(RecordObsFileAddr.LocationEnum.CN_NORTH_4)
                                        .withObject("archive/"))
                        .withHlsConfig(new HLSRecordConfig().withRecordCycle(3600).withRecordSliceDuration(2))
                        .withMp4Config(new MP4RecordConfig().withRecordCycle(7200));
        return new RecordRuleRequest()
                .withPublishDomain(DOMAIN)
                .withApp(APP)
                .withStream(STREAM)
                .withRecordType(RecordRuleRequest.RecordTypeEnum.COMMAND_RECORD)
                .withDefaultRecordConfig(config);
    }

    private static RecordCallbackConfigRequest callbacks() {
        return new RecordCallbackConfigRequest()
                .withPublishDomain(DOMAIN)
                .withApp("*")
                .withNotifyCallbackUrl(System.getenv("LIVE_CALLBACK_URL"))
                .withNotifyEventSubscription(
                        Arrays.asList(
                                RecordCallbackConfigRequest.NotifyEventSubscriptionEnum.RECORD_NEW_FILE_START,
                                RecordCallbackConfigRequest.NotifyEventSubscriptionEnum.RECORD_FILE_COMPLETE,
                                RecordCallbackConfigRequest.NotifyEventSubscriptionEnum.RECORD_OVER,
                                RecordCallbackConfigRequest.NotifyEventSubscriptionEnum.RECORD_FAILED))
                .withSignType(RecordCallbackConfigRequest.SignTypeEnum.HMACSHA256)
                .withKey(System.getenv("LIVE_CALLBACK_KEY"));
    }

    private static RunRecordRequest command(RunRecordRequest.ActionEnum action) {
        RecordControlInfo names =
                new RecordControlInfo().withPublishDomain(DOMAIN).withApp(APP).withStream(STREAM);
        return new RunRecordRequest().withAction(action).withBody(names);
    }
}
