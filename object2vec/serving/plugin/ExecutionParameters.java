package object2vec;

import java.io.IOException;
import java.util.Properties;
import software.amazon.ai.mms.servingsdk.Context;
import software.amazon.ai.mms.servingsdk.annotations.Endpoint;
import software.amazon.ai.mms.servingsdk.annotations.helpers.EndpointTypes;
import software.amazon.ai.mms.servingsdk.http.Request;
import software.amazon.ai.mms.servingsdk.http.Response;

/** Tells SageMaker's batch transform how much it may send, and how many requests at once. */
@Endpoint(
        urlPattern = "execution-parameters",
        endpointType = EndpointTypes.INFERENCE,
        description = "How batch transform should send its requests.")
public class ExecutionParameters extends ReadOnlyEndpoint {

    @Override
    public void doGet(Request request, Response response, Context context) throws IOException {
        Properties settings = context.getConfig();
        int workers = Integer.parseInt(settings.getProperty("default_workers_per_model"));
        int megabytes = Integer.parseInt(settings.getProperty("max_request_size")) >> 20;
        answer(
                response,
                200,
                "{\"MaxConcurrentTransforms\": "
                        + workers
                        + ", \"BatchStrategy\": \"MULTI_RECORD\", \"MaxPayloadInMB\": "
                        + megabytes
                        + "}\n");
    }
}
