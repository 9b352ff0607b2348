"""The texts of the files that TF Serving, and a proxy before it, need beside the exports."""

# PROBE stands for the command of the health check
COMPOSE = """\
# `docker compose` in this folder also reads settings of your own from compose.override.yaml.
services:
  serving:
    image: ${TF_SERVING_IMAGE:-tensorflow/serving:2.21.0}
    platform: ${TF_SERVING_PLATFORM:-linux/amd64}  # the only platform of that image
    init: true
    restart: unless-stopped
    ports:  # no access control: TF_SERVING_ADDRESS=0.0.0.0 opens them to all other machines
      - "${TF_SERVING_ADDRESS:-127.0.0.1}:8500:8500"  # gRPC
      - "${TF_SERVING_ADDRESS:-127.0.0.1}:8501:8501"  # REST
    volumes:
      - .:/models:ro
    entrypoint: [tensorflow_model_server]
    command:
      - --port=8500
      - --rest_api_port=8501
      # by default 4 per core, and 8 clients of gRPC on 2 cores were refused half of their requests
      - --grpc_max_threads=64
      - --model_config_file=/models/models.config
      - --model_config_file_poll_wait_seconds=30
      # when the server starts, no version is loaded yet; without this flag labels would stop it
      - --allow_version_labels_for_unavailable_models=true
      # by default a version that cannot be read is tried for 300 s, and until then no port is
      # opened and, with one thread, no other version is loaded
      - --max_num_load_retries=3
      - --load_retry_interval_micros=2000000
      - --num_load_threads=4
      # TF_BATCHING=true merges requests, which is faster on a GPU; zoo tune-batching measures it.
      # An invalid request then fails its whole batch.
      - --enable_batching=${TF_BATCHING:-false}
      - --batching_parameters_file=${TF_BATCHING:+/models/batching.config}
      - --monitoring_config_file=/models/monitoring.config
    healthcheck:  # the image has bash and grep, but no curl
      test: [CMD, bash, -c, PROBE]
      interval: 10s
      timeout: 5s
      start_period: 60s
  # `docker compose --profile log up --detach` also starts a proxy on port 8502 that logs requests
  # for zoo monitor; ZOO_IMAGE is an image of your own with keras-model-zoo[serve]
  log:
    profiles: [log]
    image: ${ZOO_IMAGE:-keras-model-zoo}
    restart: unless-stopped
    depends_on: {serving: {condition: service_healthy}}
    ports:
      - "${TF_SERVING_ADDRESS:-127.0.0.1}:8502:8502"
    volumes:
      - ./requests:/requests
    entrypoint: [zoo, serve-log]
    command:
      - --server=serving:8501
      - --host=0.0.0.0
      - --port=8502
      - --log=/requests/requests.jsonl
      - --share=${ZOO_LOG_SHARE:-1}
"""
# inputs are not padded: TF Serving pads with the first element, which is wrong for token ids
BATCHING = """\
max_batch_size { value: 128 }
batch_timeout_micros { value: 1000 }
max_enqueued_batches { value: 1024 }
num_batch_threads { value: 2 }
"""
MONITORING = """\
prometheus_config { enable: true path: "/monitoring/prometheus/metrics" }
"""
COMPOSE_TLS = """\
# A proxy with TLS that lets in who has the token, for REST and gRPC on port 8443:
#   ZOO_TOKEN=... docker compose --file compose.yaml --file compose.tls.yaml up --detach --wait
# The folder tls has certificate.pem, with those of its issuers, and key.pem.
services:
  proxy:
    image: ${NGINX_IMAGE:-nginx:1.28}
    restart: unless-stopped
    depends_on: {serving: {condition: service_healthy}}
    environment:
      ZOO_TOKEN: ${ZOO_TOKEN:?set it to a secret, such as that of openssl rand -hex 32}
    ports:
      - "${PROXY_ADDRESS:-0.0.0.0}:8443:8443"
    volumes:
      - ./proxy.conf:/etc/nginx/templates/default.conf.template:ro
      - ./tls:/etc/nginx/tls:ro
"""
# the image of nginx fills in ${ZOO_TOKEN}
PROXY = """\
server {
    listen 8443 ssl http2;
    ssl_certificate /etc/nginx/tls/certificate.pem;
    ssl_certificate_key /etc/nginx/tls/key.pem;
    ssl_protocols TLSv1.2 TLSv1.3;
    server_tokens off;
    client_max_body_size 64m;

    if ($http_authorization != "Bearer ${ZOO_TOKEN}") {
        return 401;
    }
    location /v1/ {
        proxy_pass http://serving:8501;
    }
    location /tensorflow.serving. {
        grpc_pass grpc://serving:8500;
    }
    location / {  # not the metrics either
        return 404;
    }
}
"""
