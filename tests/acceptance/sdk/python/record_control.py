"""The record/control sample: sends one recording command through the official Python SDK.

CLOUD_SDK_AK, CLOUD_SDK_SK  access key of a user of the server
CLOUD_SDK_PROJECT_ID        its project
LIVE_ENDPOINT               for example http://127.0.0.1:8280
LIVE_ACTION                 START or STOP
LIVE_PUBLISH_DOMAIN, LIVE_APP, LIVE_STREAM  the stream
"""

import os
import sys

from huaweicloudsdkcore.auth.credentials import BasicCredentials
from huaweicloudsdkcore.exceptions import exceptions
from huaweicloudsdklive.v1 import LiveClient, RecordControlInfo, RunRecordRequest

if __name__ == "__main__":
    credentials = BasicCredentials(
        os.environ["CLOUD_SDK_AK"], os.environ["CLOUD_SDK_SK"], os.environ["CLOUD_SDK_PROJECT_ID"]
    )

    client = LiveClient.new_builder().with_credentials(credentials).with_endpoint(os.environ["LIVE_ENDPOINT"]).build()

    try:
        request = RunRecordRequest()
        request.action = os.environ["LIVE_ACTION"]
        request.body = RecordControlInfo(
            publish_domain=os.environ["LIVE_PUBLISH_DOMAIN"],
            app=os.environ["LIVE_APP"],
            stream=os.environ["LIVE_STREAM"],
        )
        response = client.run_record(request)
        print(response)
    except exceptions.ClientRequestException as e:
        print(e.status_code)
        print(e.request_id)
        print(e.error_code)
        print(e.error_msg)
        sys.exit(1)
