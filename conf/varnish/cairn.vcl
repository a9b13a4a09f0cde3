vcl 4.1;
# Varnish in front of the storage nodes of a group: hot files stay in memory, each URL goes to the
# same node, an answer that is stale is better than none. docs/nginx.md tells more. To adapt: the
# nodes, and who may purge.

import directors;

probe ready {
  .url = "/readyz";
  .interval = 1s;
  .timeout = 1s;
  .window = 3;
  .threshold = 2;
  .initial = 2;
}

backend node1 { .host = "127.0.0.1"; .port = "8888"; .probe = ready; }
backend node2 { .host = "127.0.0.2"; .port = "8888"; .probe = ready; }

acl purgers {
  "127.0.0.0"/8;
}

sub vcl_init {
  new nodes = directors.shard();
  nodes.add_backend(node1);
  nodes.add_backend(node2);
  nodes.reconfigure();
}

sub vcl_recv {
  if (req.method == "PURGE" || req.method == "BAN") {
    if (!client.ip ~ purgers) {
      return (synth(403));
    }
    if (req.method == "PURGE") {
      return (purge);
    }
    # What trackers send (purge_cache in tracker.conf): every URL that an object was served under.
    if (req.http.X-Cairn-Tags) {
      ban("obj.http.X-Cairn-Tags ~ " + req.http.X-Cairn-Tags);
      return (synth(200, "banned"));
    }
    if (req.http.X-Cairn-Urls) {
      ban("obj.http.x-url ~ " + req.http.X-Cairn-Urls);
      return (synth(200, "banned"));
    }
    # By pattern: the path of the request is a regular expression.
    ban("obj.http.x-url ~ " + req.url);
    return (synth(200, "banned"));
  }
  # What fronts say to nodes is not for clients to say: an answer to that would be kept.
  unset req.http.X-Cairn-Accel;
  unset req.http.X-Cairn-Kept;
  unset req.http.X-Cairn-Tags;
  # Pages of the storage node that trust the machine they are asked from.
  if (req.url ~ "^/(status|metrics)([?]|$)") {
    return (synth(404));
  }
  if (req.method != "GET" && req.method != "HEAD") {
    return (pass);
  }
}

sub vcl_backend_fetch {
  # What the answer was made of, so that a change of that can find it.
  set bereq.http.X-Cairn-Tags = "1";
  # The second try goes to the next node of the URL.
  set bereq.backend = nodes.backend(by=URL, alt=bereq.retries);
}

sub vcl_backend_response {
  if ((beresp.status == 502 || beresp.status == 503) && bereq.retries < 2 && bereq.method == "GET") {
    return (retry);
  }
  if (beresp.status >= 500 && bereq.is_bgfetch) {
    # Refreshing failed: what is here stays.
    return (abandon);
  }
  if (beresp.status == 404 && !beresp.http.Cache-Control) {
    # It may be stored in the next moment.
    set beresp.ttl = 1s;
    set beresp.grace = 0s;
    set beresp.http.x-url = bereq.url;
    return (deliver);
  }
  set beresp.http.x-url = bereq.url;
  set beresp.grace = 24h;
}

sub vcl_backend_error {
  if (bereq.retries < 2 && bereq.method == "GET") {
    return (retry);
  }
}

sub vcl_deliver {
  unset resp.http.x-url;
  unset resp.http.X-Cairn-Tags;
  if (obj.hits > 0) {
    set resp.http.X-Cache = "HIT";
  } else {
    set resp.http.X-Cache = "MISS";
  }
}
