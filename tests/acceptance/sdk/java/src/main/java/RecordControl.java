import com.huaweicloud.sdk.core.auth.BasicCredentials;
import com.huaweicloud.sdk.core.auth.ICredential;
import com.huaweicloud.sdk.core.exception.ConnectionException;
import com.huaweicloud.sdk.core.exception.RequestTimeoutException;
import com.huaweicloud.sdk.core.exception.ServiceResponseException;
import com.huaweicloud.sdk.live.v1.LiveClient;
import com.huaweicloud.sdk.live.v1.model.RecordControlInfo;
import com.huaweicloud.sdk.live.v1.model.RunRecordRequest;
import com.huaweicloud.sdk.live.v1.model.RunRecordResponse;

/**
 * The record/control sample: sends one recording command through the official Java SDK.
 *
 * <p>CLOUD_SDK_AK, CLOUD_SDK_SK and CLOUD_SDK_PROJECT_ID: access key of a user of the server and its project.
 * LIVE_ENDPOINT: for example http://127.0.0.1:8280. LIVE_ACTION: START or STOP. LIVE_PUBLISH_DOMAIN, LIVE_APP,
 * LIVE_STREAM: the stream.
 */
public class RecordControl {

    public static void main(String[] args) {
        ICredential auth =
                new BasicCredentials()
                        .withAk(System.getenv("CLOUD_SDK_AK"))
                        .withSk(System.getenv("CLOUD_SDK_SK"))
                        .withProjectId(System.getenv("CLOUD_SDK_PROJECT_ID"));

        LiveClient client =
                LiveClient.newBuilder().withCredential(auth).withEndpoint(System.getenv("LIVE_ENDPOINT")).build();

        RunRecordRequest request = new RunRecordRequest();
        request.withAction(RunRecordRequest.ActionEnum.fromValue(System.getenv("LIVE_ACTION")));
        RecordControlInfo body = new RecordControlInfo();
        body.withPublishDomain(System.getenv("LIVE_PUBLISH_DOMAIN"));
        body.withApp(System.getenv("LIVE_APP"));
        body.withStream(System.getenv("LIVE_STREAM"));
        request.withBody(body);

        try {
            RunRecordResponse response = client.runRecord(request);
            System.out.println(response.toString());
        } catch (ConnectionException | RequestTimeoutException e) {
            e.printStackTrace();
            System.exit(1);
        } catch (ServiceResponseException e) {
            System.out.println(e.getHttpStatusCode());
            System.out.println(e.getRequestId());
            System.out.println(e.getErrorCode());
            System.out.println(e.getErrorMsg());
            System.exit(1);
        }
    }
}
